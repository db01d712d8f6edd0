"""Options of the engine, each declared once: flags, variables and file keys derive from here."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from engine.types import TokenIds, Truncate


class BackendChoice(StrEnum):
    """Which runtime computes the vectors."""

    AUTO = "auto"
    ONNX = "onnx"
    GGUF = "gguf"
    OPENVINO = "openvino"


class EngineConfig(BaseModel):
    """How a bundle is run. Nothing here changes the vector space."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: BackendChoice = Field(
        BackendChoice.AUTO,
        description="Runtime: onnx, gguf (llama.cpp), openvino (bf16 on a CPU that has it), or "
        "auto (gguf on a GPU, onnx on a CPU, openvino there if `precision` allows it).",
    )
    precision: str = Field(
        "auto",
        description="Precision to run, such as fp32, f16, bf16, q8_0 or int8; auto takes the most "
        "exact file of the bundle, or bf16 on OpenVINO where that can be run, and nothing that is "
        "certified to a cosine below 0.9999 to the source, unless it is the source itself.",
    )
    gpu: bool = Field(
        default=False,
        description="Run on the GPU; start fails where there is none that can be used.",
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="CPU threads for inference; by default as many as this process may use.",
    )
    context_size: int | None = Field(
        None,
        ge=3,
        description="Tokens an input may have, special tokens included; "
        "at most, and by default, what the model allows.",
    )
    truncate: Truncate = Field(
        Truncate.NONE,
        description="What happens to an input with too many tokens where a request does not say "
        "it: refuse it, or drop its end or its start.",
    )
    max_batch_tokens: int | None = Field(
        None,
        ge=1,
        description="Tokens that one run of the runtime computes at most, padding included if it "
        "pads; a longer single input runs alone. By default what suits the device.",
    )
    max_client_batch_size: int = Field(
        2048, ge=1, le=2048, description="Inputs that one request may have."
    )
    max_request_tokens: int = Field(
        300_000, ge=1, description="Tokens that all inputs of one request may have together."
    )
    token_ids: TokenIds = Field(
        TokenIds.MODEL,
        description="What token ids in a request are: model (the model's own, with their special "
        "tokens, as /v1/tokenize returns them; others are refused), cl100k_base or o200k_base "
        "(OpenAI's, as LangChain sends them by default: decoded to text, which is embedded; needs "
        "the extra tiktoken-ids), or refuse.",
    )
    max_queue_tokens: int = Field(
        1_200_000,
        ge=1,
        description="Tokens that may wait to be computed; a request beyond that is refused. "
        "As much text, four characters a token, may wait to be tokenized.",
    )
    breaker_failures: int = Field(
        5,
        ge=1,
        description="Failed runs in a row, but for those of inputs that alone can't be computed, "
        "after which the backend is given a pause, in which the server is not ready.",
    )
    breaker_pause_seconds: float = Field(
        10.0, gt=0, le=3600, description="Seconds of that pause, until one run tries again."
    )
    hung_run_seconds: float = Field(
        60.0,
        gt=0,
        le=86400,
        description="Seconds that one run of the runtime may take, or 20 times what its tokens "
        "took before, if that is more; while one takes longer, the server is not ready.",
    )

"""`hub:` through the hub's own client, against a server that answers as the hub does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from engine.bundles import ensure_bundle
from engine.errors import IntegrityError, SourceError
from engine.model import MANIFEST_NAME, ModelBundle
from engine.sources import FileFilter
from tests.engine.sources.bundles import LAMBDA_ROLES, bundle_contents, read_files
from tests.engine.sources.conftest import Resolve
from tests.engine.sources.hub_server import Hub, run_hub
from tests.torch_golden import GOLDEN

NAME = "org/small"
CHECKPOINT = {
    "config.json": b'{"model_type": "bert"}',
    "tokenizer.json": b"{}" * 800,
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
    "model.safetensors": bytes(range(256)) * 20,
}
OTHERS = {
    "pytorch_model.bin": b"p" * 2000,
    "onnx/model.onnx": b"o" * 2000,
    "README.md": b"Small.",
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with run_hub() as hub:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield hub


def test_fetches_what_an_export_reads_of_a_checkpoint(
    hub: Hub, fetch: Resolve, cache: Path
) -> None:
    commit = hub.commit(NAME, CHECKPOINT | OTHERS)
    directory = fetch(f"hub:{NAME}@{commit}")
    assert read_files(directory) == CHECKPOINT
    assert directory == cache / "sources" / f"hub-org--small-{commit}"


def test_a_bundle_that_is_made_of_a_checkpoint_has_the_name_of_the_hub(
    hub: Hub, cache: Path
) -> None:
    """Not that of its directory in the cache, which clients would have to ask for."""
    checkpoint = read_files(GOLDEN / "checkpoints" / "roberta")
    commit = hub.commit(NAME, checkpoint)
    directory = ensure_bundle(f"{NAME}@{commit}", cache_directory=cache, progress=lambda _: None)
    assert ModelBundle.open(directory).manifest.name == "small"


def test_a_plain_id_is_resolved_to_a_commit_that_is_told(
    hub: Hub, fetch: Resolve, lines: list[str]
) -> None:
    old = hub.commit(NAME, CHECKPOINT)
    first = fetch(NAME)
    new = hub.commit(NAME, CHECKPOINT | {"config.json": b"{}"})
    second = fetch(NAME)
    assert (first.name, second.name) == (f"hub-org--small-{old}", f"hub-org--small-{new}")
    assert f"hub:{NAME} is now {NAME}@{new}; give that revision to pin it" in lines


def test_a_branch_is_a_revision(hub: Hub, fetch: Resolve) -> None:
    commit = hub.commit(NAME, CHECKPOINT)
    hub.commit(NAME, CHECKPOINT | {"config.json": b"{}"})
    hub.branches[NAME, "v1"] = commit
    assert read_files(fetch(f"{NAME}@v1")) == CHECKPOINT


def test_a_pinned_commit_in_the_cache_costs_no_request(hub: Hub, fetch: Resolve) -> None:
    commit = hub.commit(NAME, CHECKPOINT)
    first = fetch(f"{NAME}@{commit}")
    hub.seen.clear()
    assert fetch(f"{NAME}@{commit}") == first
    assert hub.seen == []


def test_offline_takes_the_newest_copy_without_any_request(hub: Hub, fetch: Resolve) -> None:
    hub.commit(NAME, CHECKPOINT)
    fetch(NAME)
    hub.commit(NAME, CHECKPOINT | {"config.json": b"{}"})
    newest = fetch(NAME)
    hub.seen.clear()
    assert fetch(NAME, offline=True) == newest
    assert hub.seen == []


def test_offline_without_a_copy_says_so(hub: Hub, fetch: Resolve) -> None:
    hub.commit(NAME, CHECKPOINT)
    with pytest.raises(SourceError, match="start once without --offline"):
        fetch(NAME, offline=True)
    assert hub.seen == []


def test_a_damaged_copy_of_a_pinned_commit_is_mended(hub: Hub, fetch: Resolve) -> None:
    commit = hub.commit(NAME, CHECKPOINT)
    directory = fetch(f"{NAME}@{commit}")
    (directory / "model.safetensors").write_bytes(bytes(256 * 20))
    assert read_files(fetch(f"{NAME}@{commit}")) == CHECKPOINT


@pytest.mark.parametrize("path", ["model.safetensors", "config.json"])
def test_a_file_with_another_hash_is_never_used(
    hub: Hub, fetch: Resolve, cache: Path, path: str
) -> None:
    hub.commit(NAME, CHECKPOINT)
    hub.served[path] = bytes(len(CHECKPOINT[path]))
    with pytest.raises(IntegrityError, match=f"{path} is not what it should be"):
        fetch(NAME)
    assert not [p for p in (cache / "sources").iterdir() if not p.name.startswith(".")]
    assert not list(cache.rglob(path))


def test_a_bundle_is_fetched_and_verified_by_its_manifest(hub: Hub, fetch: Resolve) -> None:
    contents = bundle_contents()
    hub.commit(NAME, contents | OTHERS)
    assert read_files(fetch(NAME)) == contents


def test_only_the_wanted_files_of_a_bundle_are_fetched(hub: Hub, fetch: Resolve) -> None:
    hub.commit(NAME, bundle_contents())
    directory = fetch(NAME, files=FileFilter(roles=LAMBDA_ROLES, precision="fp32"))
    wanted = {"tokenizer.json", "golden.json", "model.onnx", "model.onnx_data", MANIFEST_NAME}
    assert set(read_files(directory)) == wanted
    assert len(ModelBundle.open(directory).manifest.files) == 4
    assert not [request for request in hub.seen if "gguf" in request]


def test_a_filter_on_a_checkpoint_is_refused(hub: Hub, fetch: Resolve) -> None:
    hub.commit(NAME, CHECKPOINT)
    with pytest.raises(SourceError, match="is not a bundle"):
        fetch(NAME, files=FileFilter(precision="fp32"))


def test_neither_bundle_nor_checkpoint_is_refused(hub: Hub, fetch: Resolve) -> None:
    hub.commit(NAME, OTHERS)
    with pytest.raises(SourceError, match="neither a bundle nor a checkpoint"):
        fetch(NAME)


def test_an_unsafe_path_in_a_listing_is_refused(hub: Hub, fetch: Resolve) -> None:
    hub.commit(NAME, CHECKPOINT | {"../config.json": b"{}"})
    with pytest.raises(IntegrityError, match="no safe path"):
        fetch(NAME)


def test_a_missing_repository_is_named(hub: Hub, fetch: Resolve) -> None:
    with pytest.raises(SourceError, match="hub:org/absent does not exist or may not be read"):
        fetch("org/absent")


def test_a_gated_repository_is_explained(hub: Hub, fetch: Resolve) -> None:
    hub.commit(NAME, CHECKPOINT)
    hub.gated.add(NAME)
    with pytest.raises(SourceError, match=r"may not be read.*HF_TOKEN"):
        fetch(NAME)


def test_a_missing_revision_is_named(hub: Hub, fetch: Resolve) -> None:
    hub.commit(NAME, CHECKPOINT)
    with pytest.raises(SourceError, match=r"hub:org/small@v9 does not exist: .*no such revision"):
        fetch(f"{NAME}@v9")


@pytest.mark.parametrize("source", ["hub:small", "hub:a/b/c", "hub:org/small@", "hub://org/small"])
def test_a_malformed_id_is_refused(fetch: Resolve, source: str) -> None:
    with pytest.raises(SourceError, match="not of the form hub:ORG/NAME"):
        fetch(source)


def test_the_hub_client_takes_its_endpoint_from_the_environment(hub: Hub, cache: Path) -> None:
    commit = hub.commit(NAME, CHECKPOINT)
    script = (
        "import sys; from pathlib import Path; from engine.sources import resolve\n"
        "print(resolve(sys.argv[1], cache_directory=Path(sys.argv[2]), progress=lambda _: None))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, NAME, str(cache)],
        env={**os.environ, "HF_ENDPOINT": hub.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.strip()).name == f"hub-org--small-{commit}"

"""Several processes, and a process at its limits."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.sources.bundles import read_files
from tests.engine.sources.conftest import BUCKET
from tests.engine.sources.proxy import Answer, Proxy

Publish = Callable[..., dict[str, bytes]]
SOURCE = f"s3://{BUCKET}/small"
_RESOLVE = """
import sys
from pathlib import Path
from engine.errors import EmbellamaError
from engine.sources import resolve
try:
    path = resolve(sys.argv[1], cache_directory=Path(sys.argv[2]),
                   progress=lambda line: print(line, flush=True))
    print("got", path)
except EmbellamaError as exc:
    sys.exit(f"{type(exc).__name__}: {exc}")
"""


def start(cache: Path, prefix: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", prefix + _RESOLVE, SOURCE, str(cache)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def hold(proxy: Proxy, name: str) -> tuple[threading.Event, threading.Event]:
    """Hold the next answer of this object back; whether it was asked for, and to let it go."""
    asked, go_on = threading.Event(), threading.Event()

    def fault(answer: Answer) -> Answer:
        asked.set()
        go_on.wait(60)
        return answer

    proxy.faults[name] = [fault]
    return asked, go_on


def test_a_second_process_waits_and_uses_what_the_first_fetched(
    publish: Publish, proxy: Proxy, cache: Path
) -> None:
    contents = publish()
    asked, go_on = hold(proxy, "model.onnx_data")
    with start(cache) as first:
        assert asked.wait(60)
        with start(cache) as second:
            assert second.stdout is not None
            line = second.stdout.readline()
            go_on.set()
            rest, errors = second.communicate(timeout=60)
        output, first_errors = first.communicate(timeout=60)
    assert line == f"waiting for another process that fetches {SOURCE} ...\n"
    assert (errors, first_errors) == ("", "")
    assert rest.startswith("got ")
    assert output.splitlines()[-1] == rest.strip()
    assert read_files(Path(rest.removeprefix("got ").strip())) == contents
    assert len(proxy.asked_for("model.onnx_data")) == 1


def test_a_process_killed_in_mid_fetch_does_not_block_the_next(
    publish: Publish, proxy: Proxy, cache: Path
) -> None:
    contents = publish()
    asked, go_on = hold(proxy, "model.onnx_data")
    with start(cache) as killed:
        assert asked.wait(60)
        killed.kill()
    go_on.set()
    with start(cache) as second:
        rest, errors = second.communicate(timeout=60)
    assert errors == ""
    assert read_files(Path(rest.splitlines()[-1].removeprefix("got "))) == contents


def test_a_full_disk_is_one_clear_error_and_leaves_only_a_part(
    publish: Publish, proxy: Proxy, cache: Path
) -> None:
    """A limit on a file's size stands for a full disk: writing fails with an OSError halfway."""
    publish()
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
    with start(cache, prefix=limit) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.startswith(f"SourceError: s3:{SOURCE.removeprefix('s3:')} can't be kept in")
    assert "Make room" in errors
    assert not list(cache.rglob("model.onnx_data"))
    assert [path.name for path in cache.rglob("*.part")] == ["model.onnx_data.part"]


def test_importing_the_package_imports_no_client_of_any_place() -> None:
    script = (
        "import sys, engine; before = set(sys.modules); import engine.sources\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - sys.stdlib_module_names))"
    )
    output = subprocess.check_output([sys.executable, "-c", script], text=True, timeout=60)
    assert output == "['engine']\n"


@pytest.mark.parametrize(
    ("source", "package", "extra"),
    [("s3://models/small", "boto3", "aws"), ("org/small", "huggingface_hub", "hub")],
)
def test_a_missing_extra_is_named(cache: Path, source: str, package: str, extra: str) -> None:
    script = f"import sys; sys.modules[{package!r}] = None\n" + _RESOLVE
    done = subprocess.run(
        [sys.executable, "-c", script, source, str(cache)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("SourceError: ")
    assert f"needs the package {package}" in done.stderr
    assert f"(extra: {extra})" in done.stderr

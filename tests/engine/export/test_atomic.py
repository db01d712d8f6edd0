from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import ExportError
from engine.export.atomic import build_once

BUILDER = """
import sys, time
from pathlib import Path
from engine.export.atomic import build_once

target, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])

def build(directory):
    with log.open("a") as file:
        file.write("build\\n")
    (directory / "half").write_bytes(b"x" * 1000)
    print("writing", flush=True)
    time.sleep(seconds)
    (directory / "whole").write_bytes(b"y")

build_once(
    target,
    is_complete=lambda path: (path / "whole").exists(),
    build=build,
    progress=lambda line: print(line, flush=True),
)
print("done", flush=True)
"""


def _start(target: Path, log: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(target), str(log), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )


def _complete(path: Path) -> bool:
    return (path / "whole").exists()


def _write_whole(directory: Path) -> None:
    (directory / "whole").write_bytes(b"y")


def _left_beside(target: Path) -> list[str]:
    lock = f".{target.name}.lock"
    return sorted(path.name for path in target.parent.iterdir() if path.name != lock)


def test_a_killed_build_leaves_nothing_in_place_and_the_next_one_works(tmp_path: Path) -> None:
    target = tmp_path / "cache" / "bundle"
    with _start(target, tmp_path / "log", seconds=60) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert not target.exists()

    build_once(target, is_complete=_complete, build=_write_whole, progress=print)

    assert _left_beside(target) == ["bundle"]
    assert [path.name for path in target.iterdir()] == ["whole"]


def test_of_two_processes_one_builds_and_the_other_waits_for_it(tmp_path: Path) -> None:
    target, log = tmp_path / "bundle", tmp_path / "log"
    first = _start(target, log, seconds=1)
    assert first.stdout is not None
    assert first.stdout.readline() == "writing\n"
    second = _start(target, log, seconds=1)

    outputs = [process.communicate(timeout=60)[0] for process in (first, second)]

    assert log.read_text() == "build\n"
    assert outputs[0] == "done\n"
    assert outputs[1].startswith("waiting for another process")
    assert outputs[1].endswith("done\n")
    assert sorted(path.name for path in target.iterdir()) == ["half", "whole"]


def test_an_error_in_a_build_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "bundle"

    def build(directory: Path) -> None:
        (directory / "half").write_bytes(b"x")
        raise ExportError("no")

    with pytest.raises(ExportError, match="no"):
        build_once(target, is_complete=_complete, build=build, progress=print)
    assert _left_beside(target) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("9 requested and 4 written"), "the disk may be full"),  # numpy's, without errno
    ],
)
def test_a_full_disk_is_one_clear_error_and_leaves_nothing(
    tmp_path: Path, error: OSError, reason: str
) -> None:
    target = tmp_path / "bundle"

    def build(directory: Path) -> None:
        (directory / "half").write_bytes(b"x")
        raise error

    with pytest.raises(ExportError, match=reason):
        build_once(target, is_complete=_complete, build=build, progress=print)
    assert _left_beside(target) == []


def test_a_place_that_can_not_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    target = tmp_path / "file" / "cache" / "bundle"
    with pytest.raises(ExportError, match="can't be made"):
        build_once(target, is_complete=_complete, build=_write_whole, progress=print)


def test_a_complete_directory_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    _write_whole(target)

    def build(_: Path) -> None:
        pytest.fail("built again")

    build_once(target, is_complete=_complete, build=build, progress=print)
    assert _left_beside(target) == ["bundle"]


def test_an_incomplete_directory_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "half").write_bytes(b"x")
    build_once(target, is_complete=_complete, build=_write_whole, progress=print)
    assert [path.name for path in target.iterdir()] == ["whole"]
    assert _left_beside(target) == ["bundle"]

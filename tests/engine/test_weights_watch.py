"""A bundle that is changed while it is served."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from engine import Engine
from engine.errors import BackendError, IntegrityError
from engine.weights_watch import WeightsWatch
from tests.engine.bundles import TABLE, write_bundle, write_graph


def _write(path: Path, content: bytes) -> None:
    """Write into a file, at a time that no file system takes for the one before."""
    path.write_bytes(content)
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1_000_000_000))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(b"0123")
    return path


def test_files_that_nobody_touches_pass(weights: Path) -> None:
    watch = WeightsWatch([weights])
    watch.check()
    watch.close()


@pytest.mark.parametrize("content", [b"0124", b"01", b"01234"])
def test_a_file_that_was_written_to_is_named(weights: Path, content: bytes) -> None:
    """Same size, shorter, longer."""
    watch = WeightsWatch([weights])
    _write(weights, content)
    with pytest.raises(BackendError, match=f"{weights} was changed"):
        watch.check()
    watch.close()


def test_a_file_that_was_replaced_or_removed_passes(weights: Path, tmp_path: Path) -> None:
    """What is mapped is the old one, which nobody can write to any more."""
    watch = WeightsWatch([weights])
    _write(tmp_path / "new", b"4567")
    (tmp_path / "new").rename(weights)
    watch.check()
    weights.unlink()
    watch.check()
    watch.close()


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="none can't be read"):
        WeightsWatch([tmp_path / "none"])


def test_no_vector_is_given_of_weights_that_were_changed(tmp_path: Path) -> None:
    """Nor of such that are as they were again, as nobody has verified them since."""
    write_bundle(tmp_path)
    model = tmp_path / "model.onnx"
    good = model.read_bytes()
    with Engine.open(tmp_path) as engine:
        expected = engine.embed("the cat").vectors
        write_graph(model, table=TABLE + 1)
        _write(model, model.read_bytes())
        with pytest.raises(BackendError):
            engine.embed("the cat")
        _write(model, good)
        with pytest.raises(BackendError):
            engine.embed("the cat")
    with Engine.open(tmp_path) as engine:
        np.testing.assert_array_equal(expected, engine.embed("the cat").vectors)


def test_a_closed_engine_holds_no_file_of_its_bundle(tmp_path: Path) -> None:
    """Each reload would keep some."""
    write_bundle(tmp_path)
    Engine.open(tmp_path).close()
    held = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.exists()]
    assert not [path for path in held if path.startswith(str(tmp_path))]

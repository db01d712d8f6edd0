"""The thread that writes the log: to readers that read, that stop, that end, and that come back."""

from __future__ import annotations

import fcntl
import os
import select
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from functions.log_writer import LogWriter
from tests.infra.tools import until

PATIENCE_SECONDS = 30
PIPE_BYTES = 4096
"""The smallest that a pipe's buffer can be."""
Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    yield reader, writer
    for descriptor in (reader, writer):
        with suppress(OSError):  # closed by the test
            os.close(descriptor)


def _read_to_end(reader: int) -> list[str]:
    """All lines until the last writer has closed the pipe; the test has closed its own end."""
    read = bytearray()
    while data := os.read(reader, 65536):
        read += data
    return read.decode().splitlines()


def _stop(reader: int, writer: int) -> None:
    """Fill the pipe, as if its reader had stopped long ago."""
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"." * (PIPE_BYTES - 1) + b"\n")
    os.set_blocking(writer, True)
    assert select.select([reader], [], [], 0)[0]


def test_lines_come_in_the_order_in_which_they_were_logged(pipe: Pipe) -> None:
    reader, descriptor = pipe
    writer = LogWriter(descriptor)
    lines = [f"line {number} {'x' * (number % 500)}" for number in range(5000)]
    found: list[str] = []
    os.close(descriptor)
    thread = threading.Thread(target=lambda: found.extend(_read_to_end(reader)))
    thread.start()
    for line in lines:
        writer.write(f"{line}\n")
    writer.close(PATIENCE_SECONDS)
    thread.join(PATIENCE_SECONDS)
    assert found == lines
    assert writer.dropped == 0


def test_what_a_stopped_reader_missed_is_counted_and_told_where_it_is_missing(pipe: Pipe) -> None:
    reader, descriptor = pipe
    _stop(reader, descriptor)
    writer = LogWriter(descriptor, most_queued=4000)
    number = 0
    for wanted in (1, 20, 21):  # The writer's first lines are in its hands, not in the queue.
        while writer.dropped < wanted:
            writer.write(f"{number}\n")
            number += 1
    dropped = writer.dropped
    thread = threading.Thread(target=writer.close, args=[PATIENCE_SECONDS])
    os.close(descriptor)
    thread.start()
    found = [line for line in _read_to_end(reader) if not line.startswith(".")]
    thread.join(PATIENCE_SECONDS)
    assert _with_gaps(found) == list(range(number))
    assert sum(int(line.split()[0]) for line in found if "dropped" in line) == dropped


def _with_gaps(lines: list[str]) -> list[int]:
    """The numbers of the lines, those that were told to be missing filled in at their place."""
    numbers: list[int] = []
    for line in lines:
        count = int(line.split()[0])
        if line.endswith("log lines dropped"):
            numbers += range(len(numbers), len(numbers) + count)
        else:
            numbers.append(count)
    return numbers


def test_closing_waits_no_longer_than_it_may_for_a_reader_that_has_stopped(pipe: Pipe) -> None:
    reader, descriptor = pipe
    _stop(reader, descriptor)
    writer = LogWriter(descriptor)
    writer.write("nobody reads this\n")
    closed = threading.Thread(target=writer.close, args=[0.01], daemon=True)
    closed.start()
    closed.join(PATIENCE_SECONDS)
    assert not closed.is_alive()
    writer.write("this comes too late\n")
    assert writer.dropped == 1


def test_a_reader_that_ends_raises_nothing_and_one_that_comes_is_told(tmp_path: Path) -> None:
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    first = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    descriptor = os.open(fifo, os.O_WRONLY)
    writer = LogWriter(descriptor)
    os.close(descriptor)
    os.close(first)
    writer.write("a\n")
    writer.write("b\n")
    until(lambda: writer.dropped == 2, "the lines are not counted")
    second = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(second, True)
    writer.write("c\n")
    writer.close(PATIENCE_SECONDS)
    assert _read_to_end(second) == ["2 log lines dropped", "c"]
    os.close(second)


def test_a_full_disk_costs_lines_only() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        writer = LogWriter(full.fileno())
    writer.write("a\n")
    writer.close(PATIENCE_SECONDS)
    assert writer.dropped == 1


def test_a_pipe_that_does_not_block_loses_nothing(pipe: Pipe) -> None:
    """Some programs start others with such a pipe; a write that finds it full fails then."""
    reader, descriptor = pipe
    os.set_blocking(descriptor, False)
    writer = LogWriter(descriptor)
    lines = ["y" * 1000 for _ in range(100)]
    for line in lines:
        writer.write(f"{line}\n")
    os.close(descriptor)
    thread = threading.Thread(target=writer.close, args=[PATIENCE_SECONDS])
    thread.start()
    assert _read_to_end(reader) == lines
    thread.join(PATIENCE_SECONDS)
    assert writer.dropped == 0

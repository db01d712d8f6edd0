from __future__ import annotations

import structlog

from functions.descriptors import DescriptorWatch


def test_a_shortage_is_counted_each_time_and_told_once_a_minute_and_at_its_end(
    logs: list[structlog.typing.EventDict],
) -> None:
    times = iter((1.0, 2.0, 60.9, 61.1, 62.0, 63.0))
    watch = DescriptorWatch(clock=lambda: next(times))
    for _ in range(4):
        watch.note_shortage()
    watch.look()
    watch.look()
    for _ in range(2):  # It comes and goes: not told at each turn.
        watch.note_shortage()
        watch.look()
    assert watch.shortages == 6
    assert [(line["log_level"], line["event"]) for line in logs] == [
        ("error", "no file descriptor is free: new connections are refused"),
        ("error", "no file descriptor is free: new connections are refused"),
        ("info", "file descriptors are free again"),
    ]

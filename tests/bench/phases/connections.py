"""1,000 connections that stay open, all at once: every request is answered or told to wait."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter

from tests.bench.context import Context
from tests.bench.corpus import SHORT_QUERY
from tests.bench.processes import HttpServer
from tests.bench.subjects import open_ours

_CONNECTIONS = 1000
_REQUESTS = 4
_PATIENCE_SECONDS = 120
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def run(context: Context) -> None:
    """Count the answers."""
    with open_ours() as ours:
        ours.wait_until_ready()
        for number in range(context.rounds):
            context.begin_round("connections", number)
            started = time.perf_counter()
            found = asyncio.run(_send(ours))
            seconds = time.perf_counter() - started
            context.figures.add("connections/200", found["200"], "requests")
            context.figures.add("connections/429", found["429"], "requests")
            answered = found["200"] + found["429"]
            context.figures.add("connections/lost", _CONNECTIONS * _REQUESTS - answered, "requests")
            context.figures.add("connections/rate", answered / seconds, "requests/s")
            others = {kind: count for kind, count in found.items() if kind not in ("200", "429")}
            if others:
                context.figures.note(f"1,000 connections: {others}")


async def _send(server: HttpServer) -> Counter[str]:
    found: Counter[str] = Counter()
    await asyncio.gather(*(_one_connection(server, found) for _ in range(_CONNECTIONS)))
    return found


async def _one_connection(server: HttpServer, found: Counter[str]) -> None:
    body = server.body(SHORT_QUERY)
    head = (
        f"POST /v1/embeddings HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for _ in range(_REQUESTS):
                writer.write(head + body)
                found[await _read_answer(reader)] += 1
            writer.close()
    except (OSError, asyncio.IncompleteReadError, TimeoutError) as exc:
        found[type(exc).__name__] += 1


async def _read_answer(reader: asyncio.StreamReader) -> str:
    """The status; a 429 that does not say when to come again is another thing."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    await reader.readexactly(int(length[1]) if length else 0)
    status = head.split(b" ", 2)[1].decode()
    if status == "429" and b"\nretry-after:" not in head.lower():
        return "429 without retry-after"
    return status

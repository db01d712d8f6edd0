"""The clients of a soak: good ones, bad ones, hasty ones, and such that leave."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import httpx2

from engine.golden import GoldenText
from tests.soak.tally import Tally

ADMIN_KEY = "soak-admin"
_RESET = struct.pack("ii", 1, 0)
_BURST = 60


@dataclass(slots=True)
class Traffic:
    """Where it goes, what is asked, and what came of it."""

    client: httpx2.AsyncClient
    port: int
    model: str
    golden: Sequence[GoldenText]
    tally: Tally
    random: random.Random
    reload_seconds: float
    reloads: list[float] = field(default_factory=list)
    """When the model was loaded anew, on the clock of the event loop."""

    def pick(self, count: int) -> list[GoldenText]:
        """Some texts, now and then the same one twice."""
        return self.random.choices(self.golden, k=count)

    def body(self, rows: Sequence[GoldenText]) -> dict[str, object]:
        """A good request for the texts, in one of the forms that the contract has."""
        texts: list[object] = [row.text for row in rows]
        if self.random.random() < 0.2:
            texts = [row.input_ids.tolist() for row in rows]
        body: dict[str, object] = {"model": self.model, "truncate": "end"}
        body["input"] = texts[0] if len(texts) == 1 else texts
        if self.random.random() < 0.5:
            body["encoding_format"] = "base64"
        return body

    async def ask(self, count: int, timeout_ms: int | None = None) -> None:
        """One good request."""
        rows = self.pick(count)
        headers = {} if timeout_ms is None else {"x-request-timeout-ms": str(timeout_ms)}
        try:
            answer = await self.client.post("/v1/embeddings", json=self.body(rows), headers=headers)
        except httpx2.TransportError as exc:
            self.tally.add("failed", f"no answer: {exc!r}")
        else:
            self.tally.judge(answer, rows)

    async def pause(self, seconds: float) -> None:
        """A while, of so many seconds on average."""
        await asyncio.sleep(seconds * 2 * self.random.random())


Client = Callable[[Traffic], Awaitable[None]]


async def single(traffic: Traffic) -> None:
    """One text at a time."""
    await traffic.ask(1)
    await traffic.pause(0.05)


async def batch(traffic: Traffic) -> None:
    """Up to 32 texts at a time."""
    await traffic.ask(traffic.random.randint(2, 32))
    await traffic.pause(0.5)


async def burst(traffic: Traffic) -> None:
    """More than the queue takes, at once."""
    await asyncio.gather(*(traffic.ask(8) for _ in range(_BURST)))
    await traffic.pause(15)


async def hasty(traffic: Traffic) -> None:
    """Wants an answer sooner than it can be had, most of the time."""
    await traffic.ask(traffic.random.randint(1, 32), traffic.random.randint(1, 100))
    await traffic.pause(0.5)


async def bad(traffic: Traffic) -> None:
    """Asks for what can't be."""
    path, content, status = traffic.random.choice(_bad_requests(traffic))
    try:
        answer = await traffic.client.post(
            path, content=content, headers={"content-type": "application/json"}
        )
    except httpx2.TransportError as exc:
        traffic.tally.add("failed", f"no answer: {exc!r}")
    else:
        traffic.tally.judge_error(answer, status)
    await traffic.pause(0.2)


def _bad_requests(traffic: Traffic) -> list[tuple[str, bytes, int]]:
    """Path, body, and the status that it must have."""
    start = f'{{"model": "{traffic.model}", "input": '.encode()
    return [
        ("/v1/embeddings", b"", 400),
        ("/v1/embeddings", b"{", 400),
        ("/v1/embeddings", b"\xff\xfe", 400),
        ("/v1/embeddings", start + b"[]}", 400),
        ("/v1/embeddings", start + b'""}', 400),
        ("/v1/embeddings", start + b"[1, 99999999]}", 400),
        ("/v1/embeddings", start + b'"a", "dimensions": 7}', 400),
        ("/v1/embeddings", start + b'"a", "colour": "red"}', 400),
        ("/v1/embeddings", start + b'"' + b"word " * 400 + b'"}', 400),
        ("/v1/embeddings", start + b"[" + b'"a",' * 2048 + b'"a"]}', 400),
        ("/v1/embeddings", b'{"model": "none", "input": "a"}', 404),
        ("/v1/embeddings", b'"' + b"x" * 200_000 + b'"', 413),
        ("/v1/nothing", b"{}", 404),
        ("/v1/models", b"{}", 405),
        ("/admin/drain", b"{}", 401),
    ]


async def leaving(traffic: Traffic) -> None:
    """Goes away: in the head, in the body, before the answer, or in the middle of it."""
    body = httpx2.Request("POST", "http://x", json=traffic.body(traffic.pick(32))).content
    head = (
        f"POST /v1/embeddings HTTP/1.1\r\nhost: 127.0.0.1:{traffic.port}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    sent, read = traffic.random.choice(
        [(head[:40], 0), (head + body[: len(body) // 2], 0), (head + body, 0), (head + body, 1000)]
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", traffic.port)
    try:
        writer.write(sent)
        await writer.drain()
        if read:
            await reader.read(read)
        if traffic.random.random() < 0.5:
            _reset_on_close(writer)
    except ConnectionError as exc:
        traffic.tally.add("failed", f"the server went first: {exc!r}")
    else:
        traffic.tally.add("left")
    finally:
        writer.close()
    await traffic.pause(0.5)


def _reset_on_close(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


async def slow_body(traffic: Traffic) -> None:
    """Promises a body and sends half of it: is told so at its deadline, and cut off."""
    reader, writer = await asyncio.open_connection("127.0.0.1", traffic.port)
    try:
        writer.write(
            b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"x-request-timeout-ms: 300\r\ncontent-length: 100\r\n\r\n{"
        )
        answer = await asyncio.wait_for(reader.read(), 60)
    except (OSError, TimeoutError) as exc:
        traffic.tally.add("failed", f"a slow body was not answered: {exc!r}")
    else:
        is_told = answer.startswith(b"HTTP/1.1 504 ")
        traffic.tally.add("rejected" if is_told else "failed", f"slow body: {answer[:100]!r}")
    finally:
        writer.close()
    await traffic.pause(3)


async def operator(traffic: Traffic) -> None:
    """Loads the model anew, again and again."""
    await asyncio.sleep(traffic.reload_seconds)
    await reload(traffic)


async def reload(traffic: Traffic) -> None:
    """Have the model loaded anew."""
    answer = await traffic.client.post(
        f"/admin/models/{traffic.model}/reload", headers={"x-api-key": ADMIN_KEY}
    )
    if answer.status_code == 200:
        traffic.reloads.append(asyncio.get_running_loop().time())
    else:
        traffic.tally.add("failed", f"reload: {answer.status_code}: {answer.text[:300]}")


async def watcher(traffic: Traffic) -> None:
    """Looks at the server as orchestrators and monitoring do: it is ready all the time."""
    for path in ("/health/ready", "/health", "/metrics", "/v1/models"):
        answer = await traffic.client.get(path)
        if answer.status_code != 200:
            traffic.tally.add("failed", f"{path}: {answer.status_code}: {answer.text[:300]}")
    await traffic.pause(1)


CLIENTS: tuple[Client, ...] = (
    *(single,) * 4,
    *(batch,) * 2,
    *(bad, hasty, burst, leaving, leaving, slow_body, operator, watcher),
)


async def send(traffic: Traffic, seconds: float, clients: Sequence[Client] = CLIENTS) -> None:
    """Let clients go on for so long; whoever has asked still gets the answer."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds

    async def keep_on(client: Client) -> None:
        while loop.time() < until:
            await client(traffic)

    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(keep_on(client))

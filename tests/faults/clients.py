"""Clients that ask all the time, and what became of each request."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from typing import Self

import httpx2

from engine.golden import GoldenText
from tests.soak.tally import Tally

CLIENTS = 4
_PATIENCE_SECONDS = 60
_AFTER_NO_ANSWER_SECONDS = 0.02


class Load:
    """A few clients, each with one request in flight; no request is sent twice.

    A request that gets no answer at all is `unanswered`: nothing wrong was served, but its client
    has to ask again.
    """

    def __init__(
        self,
        url: str,
        model: str,
        golden: Sequence[GoldenText],
        tally: Tally,
        *,
        timeout_ms: int | None = None,
        clients: int = CLIENTS,
    ) -> None:
        self._url = f"{url}/v1/embeddings"
        self._model = model
        self._golden = golden
        self._tally = tally
        self._headers = {} if timeout_ms is None else {"x-request-timeout-ms": str(timeout_ms)}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._before = tally.outcomes.copy()
        self._threads = [threading.Thread(target=self._ask_on, args=(at,)) for at in range(clients)]

    def count(self, outcome: str) -> int:
        """How many requests of this load had this outcome by now."""
        with self._lock:
            return self._tally.outcomes[outcome] - self._before[outcome]

    def _ask_on(self, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - the same texts every time
        with httpx2.Client(timeout=_PATIENCE_SECONDS, headers=self._headers) as client:
            while not self._ended.is_set():
                rows = chance.choices(self._golden, k=chance.randint(1, 4))
                body = {"model": self._model, "input": [row.text for row in rows]}
                try:
                    answer = client.post(self._url, json=body)
                except httpx2.TransportError:
                    with self._lock:
                        self._tally.add("unanswered")
                    self._ended.wait(_AFTER_NO_ANSWER_SECONDS)
                else:
                    with self._lock:
                        self._tally.judge(answer, rows)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Wait for the answers to what was asked, and ask no more."""
        self._ended.set()
        for thread in self._threads:
            thread.join()


def ask(
    url: str, model: str, rows: Sequence[GoldenText], tally: Tally, timeout_ms: int | None = None
) -> httpx2.Response:
    """One request, judged."""
    headers = {} if timeout_ms is None else {"x-request-timeout-ms": str(timeout_ms)}
    body = {"model": model, "input": [row.text for row in rows]}
    answer = httpx2.post(
        f"{url}/v1/embeddings", json=body, headers=headers, timeout=_PATIENCE_SECONDS
    )
    tally.judge(answer, rows)
    return answer


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    """Status and code of an error."""
    return answer.status_code, answer.json()["error"]["code"]

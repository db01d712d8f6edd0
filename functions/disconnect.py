"""Drops the work of a client that has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

T = TypeVar("T")


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Await the work of a request whose body has been read; cancel it if the client goes.

    Raises:
        ClientDisconnect: the client has gone.
    """
    working = asyncio.current_task()
    if working is None:
        raise RuntimeError("Only a task can be cancelled.")
    watching = asyncio.ensure_future(_wait_for_disconnect(receive))
    ended = False

    def stop(watched: asyncio.Future[None]) -> None:
        if not ended and not watched.cancelled():
            working.cancel()

    watching.add_done_callback(stop)
    cancellations = working.cancelling()
    try:
        return await work
    except asyncio.CancelledError:
        if not watching.done() or working.uncancel() > cancellations:
            raise  # Somebody else cancelled it, too.
        watching.result()  # A failure to watch must not look like a client that has gone.
        raise ClientDisconnect from None
    finally:
        ended = True  # `stop` may be on its way already: removing it would not be enough.
        watching.cancel()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

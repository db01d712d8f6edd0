"""Rate limits: requests and tokens that one client may use within a minute.

Both are sliding window counters: a minute's count, plus that of the minute before, weighted by
how much of it still lies within the last 60 seconds. So a burst at the turn of a minute gains
nothing, and a client costs two numbers and not one a request.

Tokens are taken when the tokenizer has counted them and before anything is queued, so a request
is computed only if all of its tokens fit. What was taken stays taken, whatever comes of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.errors import ConfigurationError as LimitsConfigurationError
from limits.errors import StorageError

from functions.errors import RateLimitError, RequestOverRateLimitError
from functions.observability import get_logger
from functions.rate_table import RateTable
from functions.rate_window import Window, duration
from functions.settings import Settings, SettingsError

_STORAGE_TIMEOUT_SECONDS = 0.5
_RETRY_STORAGE_SECONDS = 5.0
"""How long a storage that failed is left alone, so that its time-outs slow nobody down."""
T = TypeVar("T")


class WindowStorage(Protocol):
    """Where the counts are: what is used of a storage of `limits`."""

    async def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Take `amount` from the key's `limit` in `expiry` seconds; False if it does not fit."""
        ...

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """The previous count, the seconds that it counts on, the current count, its seconds."""
        ...


class RateLimiter:
    """Counts for all clients, in this process or, for several replicas, in Redis.

    When Redis fails, requests pass uncounted for a few seconds, then it is tried again: limits
    are for fairness, and the queue protects the server. The log says so, once.
    """

    def __init__(
        self,
        *,
        requests: int | None,
        tokens: int | None,
        storage: WindowStorage,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        counts = {"requests": requests, "tokens": tokens}
        self._items: dict[str, RateLimitItem] = {
            unit: RateLimitItemPerMinute(limit, namespace=f"embellama-{unit}")
            for unit, limit in counts.items()
            if limit is not None
        }
        self._storage = storage
        self._clock = clock
        self._down_until = -math.inf
        self._is_down = False

    @property
    def storage_is_down(self) -> bool:
        """Whether requests pass uncounted now."""
        return self._is_down

    async def take(self, unit: str, client: str, cost: int) -> None:
        """Use up some of a client's `requests` or `tokens`.

        Raises:
            RateLimitError: it does not fit now; says when it will.
            RequestOverRateLimitError: it never will.
        """
        item = self._items.get(unit)
        if item is None:
            return
        if cost > item.amount:
            raise RequestOverRateLimitError(unit=unit, cost=cost, limit=item.amount)
        fits = await self._unless_down(
            self._storage.acquire_sliding_window_entry,
            item.key_for(client),
            item.amount,
            item.get_expiry(),
            cost,
        )
        if fits is False:
            window = await self._window(item, client)
            seconds = 0.0 if window is None else window.seconds_until(cost)
            raise RateLimitError(unit=unit, limit=item.amount, retry_after_seconds=seconds)

    async def headers(self, client: str) -> dict[str, str]:
        """What the answer tells the client; nothing while the storage is down."""
        found: dict[str, str] = {}
        for unit, item in self._items.items():
            window = await self._window(item, client)
            if window is not None:
                found[f"x-ratelimit-limit-{unit}"] = str(item.amount)
                found[f"x-ratelimit-remaining-{unit}"] = str(window.remaining)
                found[f"x-ratelimit-reset-{unit}"] = duration(window.seconds_until(item.amount))
        return found

    async def _window(self, item: RateLimitItem, client: str) -> Window | None:
        expiry = item.get_expiry()
        found = await self._unless_down(
            self._storage.get_sliding_window, item.key_for(client), expiry
        )
        if found is None:
            return None
        previous, previous_seconds, current, current_seconds = found
        to_next = max(0.0, current_seconds - expiry)
        return Window(item.amount, expiry, previous, previous_seconds, current, to_next)

    async def _unless_down(self, call: Callable[..., Awaitable[T]], *args: object) -> T | None:
        if self._clock() < self._down_until:
            return None
        try:
            answer = await call(*args)
        except StorageError as exc:
            self._down_until = self._clock() + _RETRY_STORAGE_SECONDS
            if not self._is_down:
                reason = type(exc.storage_error).__name__
                get_logger().error("rate limits are off: their storage failed", reason=reason)
            self._is_down = True
            return None
        if self._is_down:
            get_logger().info("rate limits are on again")
        self._is_down = False
        return answer


def open_rate_limiter(settings: Settings) -> RateLimiter | None:
    """The limiter of the settings; None where there are no limits.

    Raises:
        SettingsError: the storage can't be used.
    """
    requests, tokens = settings.requests_per_minute, settings.tokens_per_minute
    if requests is None and tokens is None:
        return None
    url = settings.rate_limit_storage
    storage = open_storage(None if url is None else url.get_secret_value())
    return RateLimiter(requests=requests, tokens=tokens, storage=storage)


def open_storage(url: str | None) -> WindowStorage:
    """Where the counts are: in this process, or in the Redis at a URL.

    Raises:
        SettingsError: it can't be used.
    """
    if url is None:
        return RateTable()
    if not url.startswith(("redis://", "rediss://")):
        raise SettingsError("rate_limit_storage must be a URL that begins redis:// or rediss://.")
    try:
        return RedisStorage(
            f"async+{url}",
            wrap_exceptions=True,
            implementation="redispy",
            socket_timeout=_STORAGE_TIMEOUT_SECONDS,
            socket_connect_timeout=_STORAGE_TIMEOUT_SECONDS,
        )
    except LimitsConfigurationError as exc:
        raise SettingsError(
            "rate_limit_storage needs the Redis client: install embellama[redis]."
        ) from exc
    except ValueError as exc:
        raise SettingsError("rate_limit_storage is not a valid URL.") from exc

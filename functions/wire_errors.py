"""Errors of what comes over a connection: the parts of a request, and how much is unfinished."""

from __future__ import annotations

from engine.errors import EmbellamaError, InvalidInputError, UnavailableError

_RETRY_SECONDS = 1.0


class MalformedRequestError(InvalidInputError):
    """What came is not HTTP, so no route was asked."""

    def __init__(self, message: str) -> None:
        super().__init__(message, param=None)


class HeadersTooLargeError(EmbellamaError):
    """What a request has beside its body is more than a server reads.

    That is the request line, the headers, and trailers and extensions of chunks; `unit` is bytes,
    headers or trailers.
    """

    code = "headers_too_large"

    def __init__(self, *, limit: int, unit: str = "bytes") -> None:
        whole = "request line, the headers and the trailers of the request have"
        subject = whole if unit == "bytes" else "request has"
        super().__init__(f"The {subject} more than {limit} {unit}.")
        self.limit = limit
        self.unit = unit


class HeadTimeoutError(EmbellamaError):
    """The request line and the headers came too slowly, or not to their end."""

    code = "request_timeout"

    def __init__(self, *, seconds: float) -> None:
        super().__init__(
            f"The request line and the headers did not come within {seconds:g} seconds."
        )
        self.seconds = seconds


class BodyTimeoutError(EmbellamaError):
    """A body came too slowly, or not to its end."""

    code = "request_timeout"

    def __init__(self, *, what: str, seconds: float) -> None:
        super().__init__(f"The {what} of the request did not come within {seconds:g} seconds.")
        self.seconds = seconds


class SlowBodyError(BodyTimeoutError):
    """Fewer bytes of a body came than must come in that time."""

    def __init__(self, *, bytes_per_second: int, seconds: float) -> None:
        EmbellamaError.__init__(
            self,
            f"Fewer than {bytes_per_second} bytes a second of the body came within {seconds:g} "
            "seconds.",
        )
        self.seconds = seconds


class TooManyConnectionsError(UnavailableError):
    """As many connections are open as the server takes, and none of them is idle."""

    code = "too_many_connections"

    def __init__(self) -> None:
        super().__init__(
            "The server has as many connections as it takes. Try again later.",
            retry_after_seconds=_RETRY_SECONDS,
        )


class TooManyBodyBytesError(UnavailableError):
    """The unfinished requests have as many bytes as the server holds."""

    code = "too_many_body_bytes"

    def __init__(self) -> None:
        super().__init__(
            "The server holds as many bytes of unfinished requests as it takes. Try again later, "
            "or split the request.",
            retry_after_seconds=_RETRY_SECONDS,
        )

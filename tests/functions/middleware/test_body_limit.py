from __future__ import annotations

import pytest

from functions.errors import PayloadTooLargeError
from functions.middleware.body_limit import BodyLimitMiddleware
from tests.functions.middleware.asgi import call, raising, read_all


def test_a_body_of_the_limit_passes() -> None:
    sent = call(BodyLimitMiddleware(read_all, 4), [b"ab", b"cd"], {"content-length": "4"})
    assert sent[1]["body"] == b"4"


def test_a_declared_length_over_the_limit_is_refused_unread() -> None:
    app = BodyLimitMiddleware(raising(AssertionError("it was called")), 4)
    with pytest.raises(PayloadTooLargeError):
        call(app, [b"abcde"], {"content-length": "5"})


@pytest.mark.parametrize("headers", [{}, {"content-length": "1"}, {"content-length": "x"}])
def test_bytes_are_counted_whatever_was_declared(headers: dict[str, str]) -> None:
    with pytest.raises(PayloadTooLargeError):
        call(BodyLimitMiddleware(read_all, 4), [b"ab", b"cd", b"e"], headers)

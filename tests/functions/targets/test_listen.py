from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator, Sequence

import httpx2
import pytest

from engine.errors import ConfigurationError
from functions.settings import Settings
from functions.targets.listen import is_loopback_only, listen
from tests.functions.targets.serving import ServerProcess

Listen = Callable[[Sequence[str], int], list[socket.socket]]


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(
    not _has_ipv6(), reason="not checked: listening on IPv6, which this machine does not have"
)


@pytest.fixture
def listening() -> Iterator[Listen]:
    """`listen`, whose sockets are closed at the end."""
    opened: list[socket.socket] = []

    def on(hosts: Sequence[str], port: int = 0) -> list[socket.socket]:
        opened.extend(found := listen(hosts, port))
        return found

    yield on
    for listener in opened:
        listener.close()


def _hosts(listeners: list[socket.socket]) -> list[str]:
    return [listener.getsockname()[0] for listener in listeners]


@needs_ipv6
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["127.0.0.1"], ["127.0.0.1"]),
        (["::1"], ["::1"]),
        (["127.0.0.1", "::1"], ["127.0.0.1", "::1"]),
        (["::1", "127.0.0.1", "::1"], ["::1", "127.0.0.1"]),
        (["localhost"], ["127.0.0.1", "::1"]),
        (["LocalHost", "127.0.0.1"], ["127.0.0.1", "::1"]),
        (["::"], ["0.0.0.0", "::"]),  # noqa: S104
        (["::", "0.0.0.0"], ["0.0.0.0", "::"]),  # noqa: S104
    ],
)
def test_every_address_of_every_host_is_listened_on_once_and_on_one_port(
    listening: Listen, asked: list[str], expected: list[str]
) -> None:
    listeners = listening(asked, 0)
    assert expected == _hosts(listeners)
    assert len({listener.getsockname()[1] for listener in listeners}) == 1


@needs_ipv6
def test_both_families_reach_an_address_that_is_every_one(listening: Listen) -> None:
    """An IPv4 client is seen by its own address, not as one of IPv6."""
    ipv4, ipv6 = listening(["::"], 0)
    port = ipv4.getsockname()[1]
    for listener, host in ((ipv4, "127.0.0.1"), (ipv6, "::1")):
        with socket.create_connection((host, port), timeout=30):
            connection, client = listener.accept()
            connection.close()
            assert client[0] == host


@pytest.mark.parametrize("reason", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
@pytest.mark.parametrize(("asked", "expected"), [("::", "0.0.0.0"), ("localhost", "127.0.0.1")])  # noqa: S104
def test_a_machine_without_ipv6_serves_ipv4(
    listening: Listen, monkeypatch: pytest.MonkeyPatch, asked: str, expected: str, reason: int
) -> None:
    """Without support in the kernel, or where it is switched off; an address alone is refused."""
    real = socket.create_server

    def without_ipv6(*args: object, family: int, **options: object) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(reason, "no IPv6")
        return real(*args, family=family, **options)  # type: ignore[arg-type] # as they were given

    monkeypatch.setattr(socket, "create_server", without_ipv6)
    assert _hosts(listening([asked], 0)) == [expected]
    with pytest.raises(ConfigurationError, match=r"Can't listen on ::1, port 0: no IPv6\."):
        listening(["::1"], 0)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "256.1.1.1", "a b", "x" * 300])
def test_what_is_no_address_is_one_clear_error(host: str) -> None:
    with pytest.raises(ConfigurationError, match="no name that resolves"):
        listen([host], 0)


def test_an_address_that_another_machine_has_is_one_clear_error() -> None:
    with pytest.raises(ConfigurationError, match=r"Can't listen on 192\.0\.2\.1, port 0: "):
        listen(["192.0.2.1"], 0)


def test_nothing_is_listened_on_where_one_address_is_taken() -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.2, port {port}"):
            listen(["127.0.0.1", "127.0.0.2"], port)
        socket.create_server(("127.0.0.1", port)).close()


def test_a_free_port_is_one_that_is_free_on_every_address(
    monkeypatch: pytest.MonkeyPatch, listening: Listen
) -> None:
    """The first one tried is another's on the second address."""
    with socket.create_server(("127.0.0.2", 0)) as taken:
        real, port = socket.create_server, taken.getsockname()[1]
        tried: list[int] = []

        def first_the_taken_one(where: tuple[str, int], **options: object) -> socket.socket:
            wanted = port if not tried else where[1]
            tried.append(wanted)
            return real((where[0], wanted), **options)  # type: ignore[arg-type] # as they were given

        monkeypatch.setattr(socket, "create_server", first_the_taken_one)
        listeners = listening(["127.0.0.1", "127.0.0.2"], 0)
    assert tried[:2] == [port, port]
    assert len({listener.getsockname()[1] for listener in listeners} - {port}) == 1


@needs_ipv6
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["127.0.0.1", "::1"], True),
        (["127.9.9.9"], True),
        (["localhost"], True),
        (["::"], False),
        (["0.0.0.0"], False),  # noqa: S104
    ],
)
def test_whether_only_this_machine_can_reach_it(
    listening: Listen, asked: list[str], expected: bool
) -> None:
    """All addresses count, not one of them."""
    assert is_loopback_only(listening(asked, 0)) is expected
    assert is_loopback_only([*listening(["::1"], 0), *listening(asked, 0)]) is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("[::1]", ("::1",)),
        ("127.0.0.1, [::1]", ("127.0.0.1", "::1")),
        (["[::]"], ("::",)),
        ("0:0:0::0", ("::",)),
        ("fe80::1%eth0", ("fe80::1%eth0",)),
        ("localhost", ("localhost",)),
    ],
)
def test_an_ipv6_address_may_have_brackets(given: object, expected: tuple[str, ...]) -> None:
    assert Settings.model_validate({"host": given}).host == expected


@pytest.mark.parametrize(
    "given", ["", [], "[::1", "[127.0.0.1]", "127.0.0.1:80", "[::1]:80", ":::"]
)
def test_what_is_no_host_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="host"):
        Settings.model_validate({"host": given})


@needs_ipv6
def test_a_server_answers_on_all_its_addresses_and_logs_each() -> None:
    with ServerProcess.fake("free", host="127.0.0.1,[::1]") as server:
        first = server.event("listening")["host"]
        server.event("model ready")
        assert (first, server.event("listening")["host"]) == ("127.0.0.1", "::1")
        for host in ("127.0.0.1", "[::1]"):
            assert httpx2.get(f"http://{host}:{server.port}/health/ready").status_code == 200
        assert server.event("settings")["host"] == ["127.0.0.1", "::1"]

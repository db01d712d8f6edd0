from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from engine.errors import ConfigurationError
from functions.settings import Settings
from functions.targets.server import serve
from functions.targets.tls import tls_context
from tests.functions.targets.connections import POST
from tests.functions.targets.serving import PATIENCE_SECONDS, ServerProcess
from tests.functions.targets.tls_files import make_tls_files

FLOOD_BYTES = 64 * 1024 * 1024
BODY = {"model": "fake-model", "input": "the cat"}


def test_a_client_that_trusts_the_certificate_is_served(tmp_path: Path) -> None:
    certificate, key = make_tls_files(tmp_path)
    trusting = ssl.create_default_context(cafile=str(certificate))
    with ServerProcess.fake("free", tls_cert=certificate, tls_key=key) as server:
        server.event("model ready")
        assert server.url.startswith("https://")
        answer = httpx2.post(f"{server.url}/v1/embeddings", json=BODY, verify=trusting)
        assert answer.status_code == 200
        with pytest.raises(httpx2.ConnectError, match="certificate verify failed"):
            httpx2.get(f"{server.url}/health")


def test_a_head_that_stops_is_refused_and_its_connection_closed(tmp_path: Path) -> None:
    certificate, key = make_tls_files(tmp_path)
    trusting = ssl.create_default_context(cafile=str(certificate))
    options = {"tls_cert": certificate, "tls_key": key, "head_timeout_seconds": 0.2}
    with (
        ServerProcess.fake("free", **options) as server,
        socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"POST /v1/emb")
        with connection.makefile("rb") as file:
            answer = file.read()  # to the end of the connection
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer


def test_trailers_without_an_end_are_refused_and_their_connection_closed(tmp_path: Path) -> None:
    certificate, key = make_tls_files(tmp_path)
    trusting = ssl.create_default_context(cafile=str(certificate))
    with (
        ServerProcess.fake("free", tls_cert=certificate, tls_key=key) as server,
        socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(POST + b"transfer-encoding: chunked\r\n\r\n0\r\n")
        sent = 0
        with suppress(OSError):
            while sent < FLOOD_BYTES:
                sent += connection.send(b"a:\r\n" * 4_000)
        assert sent < FLOOD_BYTES / 4


@pytest.mark.parametrize(
    ("version", "is_spoken"), [(ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_1, False)]
)
def test_old_versions_of_tls_are_not_spoken(
    version: ssl.TLSVersion, is_spoken: bool, tmp_path: Path
) -> None:
    context = tls_context(*make_tls_files(tmp_path))
    assert context is not None
    assert (context.minimum_version <= version) is is_spoken


def test_one_file_may_hold_both(tmp_path: Path) -> None:
    certificate, key = make_tls_files(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    assert tls_context(both, None) is not None


def test_no_files_no_tls() -> None:
    assert tls_context(None, None) is None


def test_a_key_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--tls-key is given without --tls-cert"):
        tls_context(None, tmp_path / "tls.key")


def test_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"tls.crt and .*tls.key: No such file"):
        tls_context(tmp_path / "tls.crt", tmp_path / "tls.key")


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    certificate, _ = make_tls_files(tmp_path)
    _, other = make_tls_files(tmp_path / "other")
    with pytest.raises(ConfigurationError, match="KEY_VALUES_MISMATCH"):
        tls_context(certificate, other)


def test_a_key_with_a_passphrase_is_refused_and_asks_nobody(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the key has a passphrase"):
        tls_context(*make_tls_files(tmp_path, passphrase=b"secret"))


def test_wrong_files_are_told_before_anything_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(port=taken.getsockname()[1], tls_cert=tmp_path / "tls.crt")
        with pytest.raises(ConfigurationError, match="Can't use the TLS files"):
            serve(settings)

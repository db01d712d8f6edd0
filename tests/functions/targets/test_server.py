from __future__ import annotations

import socket
from concurrent.futures import Future, ThreadPoolExecutor
from signal import SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, Signals

import httpx2
import pytest

from engine.errors import ConfigurationError
from functions.models import ModelRegistry
from functions.settings import Settings
from functions.targets.server import KEEP_ALIVE_SECONDS, _uvicorn_config, serve
from tests.functions.targets.serving import ServerProcess
from tests.infra.tools import until
from tests.processes import ignored

BODY = {"model": "fake-model", "input": "the cat"}


def _post(server: ServerProcess) -> httpx2.Response:
    return httpx2.post(f"{server.url}/v1/embeddings", json=BODY, timeout=30)


def _in_thread(pool: ThreadPoolExecutor, server: ServerProcess) -> Future[httpx2.Response]:
    return pool.submit(_post, server)


@pytest.mark.parametrize("number", [SIGTERM, SIGINT, SIGQUIT, SIGHUP])
def test_the_first_signal_drains(number: Signals) -> None:
    """Requests in flight are answered, new ones refused, and the exit code is 0."""
    with ServerProcess.fake("held") as server, ThreadPoolExecutor(1) as pool:
        in_flight = _in_thread(pool, server)
        server.wait_for_run()
        server.signal(number)
        server.event("draining")
        refused = _post(server)
        ready = httpx2.get(f"{server.url}/health/ready")
        live = httpx2.get(f"{server.url}/health/live")
        server.go_on()
        assert in_flight.result().status_code == 200
        assert server.exit_code() == 0
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
    assert (ready.status_code, live.status_code) == (503, 200)


def test_the_second_signal_ends_at_once() -> None:
    with ServerProcess.fake("held") as server, ThreadPoolExecutor(1) as pool:
        in_flight = _in_thread(pool, server)
        server.wait_for_run()
        server.signal(SIGTERM)
        server.event("draining")
        server.signal(SIGTERM)
        assert server.exit_code() == 128 + SIGTERM
        assert isinstance(in_flight.exception(), httpx2.TransportError)


def test_a_second_hangup_ends_nothing() -> None:
    """A terminal that is closed sends one, and the shell in it another."""
    with ServerProcess.fake("held") as server, ThreadPoolExecutor(1) as pool:
        in_flight = _in_thread(pool, server)
        server.wait_for_run()
        server.signal(SIGHUP)
        server.event("draining")
        server.signal(SIGHUP)
        assert _post(server).status_code == 503
        server.go_on()
        assert in_flight.result().status_code == 200
        assert server.exit_code() == 0


@pytest.mark.parametrize("number", [SIGUSR1, SIGUSR2])
def test_other_signals_are_logged_and_end_nothing(number: Signals) -> None:
    with ServerProcess.fake("free") as server:
        server.event("model ready")
        server.signal(number)
        assert server.event("signal ignored")["signal"] == number.name
        assert _post(server).status_code == 200
        server.signal(SIGTERM)
        assert server.exit_code() == 0


@pytest.mark.parametrize("number", [SIGINT, SIGQUIT, SIGHUP])
def test_what_was_ignored_when_it_started_stays_ignored(number: Signals) -> None:
    """By `nohup`, or by a shell that starts a job in the background."""
    with ignored(number):
        starting = ServerProcess.fake("free")
    with starting as server:
        server.event("model ready")
        server.signal(number)
        server.signal(SIGTERM)
        assert server.event("draining")["signal"] == "SIGTERM"
        assert server.exit_code() == 0


def test_sigterm_is_never_ignored() -> None:
    with ignored(SIGTERM):
        starting = ServerProcess.fake("free")
    with starting as server:
        server.event("model ready")
        server.signal(SIGTERM)
        assert server.exit_code() == 0


def test_a_drain_ends_at_its_timeout_and_says_so_to_whom_it_left() -> None:
    with (
        ServerProcess.fake("held", shutdown_timeout_seconds=0.1) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        in_flight = _in_thread(pool, server)
        server.wait_for_run()
        server.signal(SIGTERM)
        server.event("drain timed out")
        assert in_flight.result().status_code == 503
        assert in_flight.result().json()["error"]["code"] == "shutting_down"
        assert server.exit_code() == 0


def test_an_idle_server_ends_on_a_signal_in_spite_of_idle_connections() -> None:
    with ServerProcess.fake("free") as server, httpx2.Client() as client:
        server.event("model ready")
        assert client.post(f"{server.url}/v1/embeddings", json=BODY).status_code == 200
        server.signal(SIGTERM)
        assert server.exit_code() == 0


def test_an_idle_connection_outlives_those_of_clients_and_load_balancers() -> None:
    """A request that comes while the server closes its connection gets no answer."""
    longest_idle_seconds = {"AWS load balancers": 60, "nginx": 60, "Go's http.Client": 90}
    assert max(longest_idle_seconds.values()) < KEEP_ALIVE_SECONDS
    config = _uvicorn_config(Settings(), ModelRegistry([]), None, None)
    assert config.timeout_keep_alive == KEEP_ALIVE_SECONDS


def test_it_listens_while_the_model_loads() -> None:
    with ServerProcess.fake("loading") as server:
        server.wait_for_run()
        ready = httpx2.get(f"{server.url}/health/ready")
        assert (ready.status_code, ready.json()["error"]["code"]) == (503, "not_ready")
        assert _post(server).json()["error"]["code"] == "not_ready"
        server.go_on()
        server.event("model ready")
        assert httpx2.get(f"{server.url}/health/ready").status_code == 200
        assert _post(server).status_code == 200


def test_the_log_says_what_runs_and_why() -> None:
    with ServerProcess.fake("free", threads=3) as server:
        ready = server.event("model ready")
        assert ready.pop("seconds") >= 0
        del ready["timestamp"]
        assert ready == {
            "event": "model ready",
            "level": "info",
            "model": "fake-model",
            "engine": "fake",
            "reason": "the backend was given",
            "precision": "fp32",
            "device": "cpu",
            "threads": 3,
            "space": "f" * 32,
            "dimensions": 8,
            "max_input_tokens": 32,
        }
        assert server.event("settings")["threads"] == 3


def test_a_signal_while_loading_ends_it() -> None:
    with ServerProcess.fake("loading") as server:
        server.wait_for_run()
        server.signal(SIGTERM)
        assert server.exit_code() == 0


def test_a_model_that_can_not_be_loaded_ends_the_process() -> None:
    with ServerProcess.fake("broken") as server:
        assert server.exit_code() == 1


def test_a_failed_check_of_the_vectors_keeps_it_up_but_not_ready() -> None:
    with ServerProcess.fake("uncertified") as server:
        event = server.event("model not ready")
        assert (event["level"], event["reason"]) == ("error", "The vectors differ.")
        ready = httpx2.get(f"{server.url}/health/ready")
        assert ready.status_code == 503
        assert ready.json()["error"]["message"] == (
            "The model is not served: its vectors are not the certified ones."
        )


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_a_log_reader_that_stops_holds_up_neither_requests_nor_the_end(number: Signals) -> None:
    with ServerProcess.fake("free") as server, httpx2.Client() as client:
        server.event("model ready")
        server.stop_reading()
        for _ in range(60):  # some 20 lines fit in the pipe
            assert client.post(f"{server.url}/v1/embeddings", json=BODY).status_code == 200
        server.signal(number)
        assert server.exit_code() == 0


def test_a_second_signal_ends_it_at_once_though_nobody_reads_the_log() -> None:
    with (
        ServerProcess.fake("held") as server,
        ThreadPoolExecutor(1) as pool,
        httpx2.Client() as client,
    ):
        in_flight = _in_thread(pool, server)
        server.wait_for_run()
        server.stop_reading()
        for _ in range(60):
            assert client.get(f"{server.url}/v1/models").status_code == 200
        server.signal(SIGTERM)
        ready = f"{server.url}/health/ready"
        until(lambda: httpx2.get(ready).status_code == 503, "it does not drain")
        server.signal(SIGTERM)
        assert server.exit_code() == 128 + SIGTERM
        assert isinstance(in_flight.exception(), httpx2.TransportError)


@pytest.mark.parametrize(
    ("option", "value", "cure"),
    [("models", '[{"name": "m"}]', "--models"), ("model_name", "m", "--served-model-name")],
)
def test_an_unknown_model_is_told_the_option_that_names_models_here(
    option: str, value: str, cure: str
) -> None:
    with ServerProcess.fake("free", **{option: value}) as server:
        server.event("model ready")
        answer = httpx2.post(f"{server.url}/v1/embeddings", json={"model": "x", "input": "a"})
    assert answer.status_code == 404
    assert f"server's option {cure} give" in answer.json()["error"]["message"]


def test_an_address_in_use_is_one_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"Can't listen on 127.0.0.1, port {port}"):
            serve(Settings(port=port))

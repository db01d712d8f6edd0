"""The Postman collection, run by newman against a live server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from functions.api_operations import OPERATIONS
from tests.clients.conftest import CLIENTS
from tests.contract.environments import node_environment

COLLECTION = CLIENTS / "embellama.postman_collection.json"
_FOR_PEOPLE_AND_PROGRAMS = {"/metrics", "/openapi.json", "/docs"}


def _run(variables: dict[str, str], report: Path, **changed: str) -> dict[str, Any]:
    environment = node_environment(Path(__file__).parent / "newman")
    given = {
        "baseUrl": variables["OPENAI_BASE_URL"].removesuffix("/v1"),
        "apiKey": variables["OPENAI_API_KEY"],
    } | changed
    options = [f"--env-var={name}={value}" for name, value in given.items()]
    command = ["npx", "newman", "run", str(COLLECTION), *options, "--reporters=json"]
    command.append(f"--reporter-json-export={report}")
    subprocess.run(command, cwd=environment, check=False, capture_output=True, timeout=120)
    found: dict[str, Any] = json.loads(report.read_bytes())["run"]
    return found


def test_every_request_is_answered_as_the_collection_says(
    variables: dict[str, str], tmp_path: Path
) -> None:
    run = _run(variables, tmp_path / "report.json")
    assert [failure["error"]["message"] for failure in run["failures"]] == []
    assert run["stats"]["requests"]["total"] == len(_requests(_items()))
    assert run["stats"]["assertions"]["total"] > 3 * run["stats"]["requests"]["total"]


@pytest.mark.parametrize("changed", [{"model": "another"}, {"apiKey": "wrong"}], ids=str)
def test_a_wrong_answer_fails(
    variables: dict[str, str], tmp_path: Path, changed: dict[str, str]
) -> None:
    assert _run(variables, tmp_path / "report.json", **changed)["failures"]


def test_every_operation_has_a_request() -> None:
    """All of the API, but what is no use in Postman."""
    asked = {
        (request["method"].lower(), request["url"]["raw"].removeprefix("{{baseUrl}}"))
        for request in _requests(_items())
    }
    wanted = {
        (method, path.replace("{model_id}", "{{model}}"))
        for method, path in OPERATIONS
        if path not in _FOR_PEOPLE_AND_PROGRAMS
    }
    assert wanted <= asked


def _items() -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(COLLECTION.read_bytes())["item"]
    return items


def _requests(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for item in items:
        found += [item["request"]] if "request" in item else _requests(item["item"])
    return found

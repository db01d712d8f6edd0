from __future__ import annotations

import pytest
from starlette.testclient import TestClient

URL = "/v1/embeddings"
BODY = '{"model": "fake-model", "input": "%s"}'


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json; charset=utf8",
        "application/vnd.api+json; charset = UTF-8",
        "application/json; charset=",
    ],
)
def test_utf_8_is_taken(client: TestClient, content_type: str) -> None:
    body = (BODY % "caf\u00e9").encode()
    assert client.post(URL, content=body, headers={"content-type": content_type}).status_code == 200


@pytest.mark.parametrize("charset", ["iso-8859-1", "Latin-1", "windows-1252", "shift_jis"])
def test_another_charset_is_taken_where_it_makes_no_difference(
    client: TestClient, charset: str
) -> None:
    headers = {"content-type": f"application/json; charset={charset}"}
    assert client.post(URL, content=(BODY % "cafe").encode(), headers=headers).status_code == 200
    answer = client.post(URL, content=(BODY % "caf\u00e9").encode("latin-1"), headers=headers)
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    place = len(BODY % "") - 2 + len("caf")
    assert f"says charset={charset}, but JSON is sent in UTF-8" in message
    assert message.endswith(f"not plain ASCII at byte {place}.")


@pytest.mark.parametrize("charset", ["utf-16", "utf-16le", "utf-32"])
def test_utf_16_is_refused(client: TestClient, charset: str) -> None:
    headers = {"content-type": f"application/json; charset={charset}"}
    answer = client.post(URL, content=(BODY % "a").encode(charset), headers=headers)
    assert answer.status_code == 400
    assert f"charset={charset}" in answer.json()["error"]["message"]

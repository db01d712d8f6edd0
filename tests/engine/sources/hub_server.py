"""The part of the hub's HTTP API that fetching uses: a model's files, and each file's content.

As the client in huggingface_hub 2.4 asks: `GET /api/models/ID/revision/REVISION?blobs=true`, and
`HEAD` and `GET` of `/ID/resolve/COMMIT/PATH`, answered with `X-Repo-Commit` and `ETag`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

from tests.threaded_server import ThreadedServer

LFS_FROM_BYTES = 1000


@dataclass
class Hub:
    """Repositories: name -> commits -> files; and branches: (name, branch) -> commit."""

    url: str
    commits: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    branches: dict[tuple[str, str], str] = field(default_factory=dict)
    served: dict[str, bytes] = field(default_factory=dict)
    """Content that is sent in place of the listed one, by file."""
    gated: set[str] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)

    def commit(self, name: str, files: dict[str, bytes]) -> str:
        """A new commit on `main`; its hash."""
        digest = hashlib.sha1(repr(sorted(files.items())).encode(), usedforsecurity=False)
        self.commits[name, digest.hexdigest()] = files
        self.branches[name, "main"] = digest.hexdigest()
        return digest.hexdigest()

    def listing(self, name: str, commit: str) -> dict[str, object]:
        rows = []
        for path, content in self.commits[name, commit].items():
            row: dict[str, object] = {"rfilename": path, "size": len(content)}
            if len(content) >= LFS_FROM_BYTES:
                row["lfs"] = {
                    "sha256": etag_of(content), "size": len(content), "pointerSize": 130
                }  # fmt: skip
            row["blobId"] = etag_of(content)
            rows.append(row)
        return {"id": name, "sha": commit, "siblings": rows, "tags": [], "downloads": 0}


def etag_of(content: bytes) -> str:
    """What the hub gives: SHA-256 of a large file, the git blob's SHA-1 of a small one."""
    if len(content) >= LFS_FROM_BYTES:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.hub
        path = unquote(urlsplit(self.path).path)
        hub.seen.append(f"{self.command} {path}")
        name = "/".join(path.removeprefix("/api/models").split("/")[1:3])
        if name in hub.gated:
            self.reply(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif not any(repository == name for repository, _ in hub.commits):
            self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif path.startswith("/api/models/"):
            self.list_files(name, path)
        else:
            _, _, _, _, commit, file = path.split("/", 5)
            content = hub.commits[name, commit][file]
            headers = {"X-Repo-Commit": commit, "ETag": f'"{etag_of(content)}"'}
            self.reply(200, hub.served.get(file, content), headers)

    def list_files(self, name: str, path: str) -> None:
        hub = self.hub
        revision = path.split("/revision/")[1] if "/revision/" in path else "main"
        commit = hub.branches.get((name, revision), revision)
        if (name, commit) not in hub.commits:
            self.reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return
        self.reply(200, json.dumps(hub.listing(name, commit)).encode(), {})

    def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@contextmanager
def run_hub() -> Iterator[Hub]:
    """A hub on a free port of this machine."""
    server = ThreadedServer(_Handler)
    hub = _Handler.hub = Hub(server.url)
    with server:
        yield hub

"""A server on this machine that answers as the Hugging Face Hub does."""

import contextlib
import dataclasses
import hashlib
import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator

TOKEN = "hf_" + "t" * 34
ROUTES = (
    ("info", re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/revision/(.+))?")),
    ("tree", re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)/tree/([^/]+)")),
    ("file", re.compile(r"(?:/(datasets))?/([^/]+/[^/]+)/resolve/(refs/\w+/\w+|[^/]+)/(.+)")),
    ("content", re.compile(r"/content/([0-9a-f]{64})")),
)


@dataclasses.dataclass
class Repository:
    """The commits of a repository, each {path: content}, by their names."""

    commits: dict[str, dict[str, bytes]] = dataclasses.field(default_factory=dict)
    branches: dict[str, str] = dataclasses.field(default_factory=dict)
    gated: bool = False  # without a token
    private: bool = False  # likewise, and then it seems not to exist

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Replaces what is on a branch, and returns the name of the commit."""
        name = hashlib.sha1(repr((sorted(files.items()), len(self.commits))).encode()).hexdigest()
        self.commits[name], self.branches[branch] = files, name
        return name


class Server(http.server.ThreadingHTTPServer):
    """A Hub; breaks off each of the first `breaks` answers with a large file after half of it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.breaks = 0
        self.down = False
        self.requests: list[tuple[str, str, str | None]] = []  # method, path, range

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def add(
        self, name: str, files: dict[str, bytes], kind: str = "models", branch: str = "main"
    ) -> Repository:
        """Adds a commit to a repository, which is made if needed."""
        found = self.repositories.setdefault((kind, name), Repository())
        found.commit(files, branch)
        return found


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, _ = self.path.partition("?")
        self.server.requests.append((self.command, path, self.headers.get("Range")))
        if self.server.down:
            return self.fail(503, "", "down for maintenance")
        for route, pattern in ROUTES:
            if found := pattern.fullmatch(urllib.parse.unquote(path)):
                return getattr(self, f"answer_{route}")(*found.groups())
        return self.fail(404, "EntryNotFound", "no such route")

    do_HEAD = do_GET  # noqa: N815

    def answer_info(self, kind: str, name: str, revision: str | None) -> None:
        if found := self.commit_of(kind, name, revision):
            _, commit, files = found
            siblings = [{"rfilename": path} for path in files]
            self.send_json({"id": name, "sha": commit, "siblings": siblings})

    def answer_tree(self, kind: str, name: str, revision: str) -> None:
        if found := self.commit_of(kind, name, revision):
            self.send_json([self.entry(*item) for item in found[2].items()])

    def entry(self, path: str, content: bytes) -> dict[str, object]:
        entry: dict[str, object] = {"type": "file", "path": path, "size": len(content)}
        entry["oid"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        if is_large(path):
            digest = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
        return entry

    def answer_file(self, kind: str | None, name: str, revision: str, path: str) -> None:
        found = self.commit_of(kind or "models", name, revision)
        if not found:
            return
        _, commit, files = found
        if path not in files:
            return self.fail(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        entry = self.entry(path, files[path])
        if not is_large(path):
            headers = {"ETag": f'"{entry["oid"]}"', "X-Repo-Commit": commit}
            return self.send(200, files[path], headers)
        digest = hashlib.sha256(files[path]).hexdigest()
        headers = {
            "X-Repo-Commit": commit,
            "X-Linked-Etag": f'"{digest}"',
            "X-Linked-Size": str(len(files[path])),
            # Of another host, as a storage network is.
            "Location": f"http://localhost:{self.server.server_port}/content/{digest}",
        }
        self.send(302, b"", headers)

    def answer_content(self, digest: str) -> None:
        every = (
            content
            for repository in self.server.repositories.values()
            for files in repository.commits.values()
            for content in files.values()
        )
        content = next(one for one in every if hashlib.sha256(one).hexdigest() == digest)
        start, status, headers = 0, 200, {"Accept-Ranges": "bytes", "ETag": f'"{digest}"'}
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or ""):
            start, status = int(asked[1]), 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        broken = self.command == "GET" and self.server.breaks > 0
        self.server.breaks -= broken
        self.send(status, content[start:], headers, broken)

    def commit_of(
        self, kind: str, name: str, revision: str | None
    ) -> tuple[Repository, str, dict[str, bytes]] | None:
        """Returns what is asked for, or answers why not."""
        found = self.server.repositories.get((kind, name))
        given = self.headers.get("Authorization")
        if given not in (None, f"Bearer {TOKEN}"):
            return self.fail(401, "", "Invalid credentials in Authorization header")
        if found is None or (found.private and not given):
            return self.fail(404 if given else 401, "RepoNotFound", "Repository not found")
        if found.gated and not given and "/resolve/" in self.path:
            return self.fail(401, "GatedRepo", f"Access to {name} is restricted")
        commit = found.branches.get(revision or "main", revision)
        if commit not in found.commits:
            return self.fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found, commit, found.commits[commit]

    def send_json(self, content: object) -> None:
        self.send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def fail(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        self.send(
            status,
            json.dumps({"error": message}).encode(),
            {"X-Error-Code": code, "X-Error-Message": message, **(headers or {})},
        )

    def send(self, status: int, body: bytes, headers: dict[str, str], broken: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if broken else body)
        if broken:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def is_large(path: str) -> bool:
    """Whether the Hub keeps a file in its large storage, under its SHA-256."""
    return path.endswith((".safetensors", ".bin", ".pth", ".h5", ".parquet"))


@contextlib.contextmanager
def running() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

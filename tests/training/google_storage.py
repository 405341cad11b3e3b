"""Google's object storage as far as TensorStore and epath need it, on loopback and in memory."""

import fnmatch
import http.server
import io
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

from etils.epath import backend, stat_utils


class Storage:
    """Objects by bucket and name, each with a generation that every change raises."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[int, bytes]] = {}
        self._generation = 0
        self._lock = threading.Lock()

    def put(self, name: str, content: bytes, if_generation: int | None = None) -> int | None:
        """Returns the new generation, or None where the old one is not the one expected."""
        with self._lock:
            if if_generation not in (None, self.objects.get(name, (0, b""))[0]):
                return None
            self._generation += 1
            self.objects[name] = self._generation, content
            return self._generation

    def below(self, folder: str) -> list[str]:
        """Names of all objects in a folder and below."""
        return [name for name in sorted(self.objects) if name.startswith(folder + "/")]


class Server(http.server.ThreadingHTTPServer):
    """Speaks Google's JSON interface, as TensorStore uses it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.storage = Storage()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def _parse(self, root: str) -> tuple[str, str, dict[str, str]]:
        """Returns the bucket, the object's name and the query's fields."""
        url = urllib.parse.urlsplit(self.path)
        match = re.fullmatch(root + "/storage/v1/b/([^/]+)/o/?(.*)", url.path)
        assert match, self.path
        fields = dict(urllib.parse.parse_qsl(url.query))
        return match[1], urllib.parse.unquote(match[2]), fields

    def _answer(self, status: int, content: bytes = b"", **headers: Any) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        bucket, name, fields = self._parse("")
        if not name:
            return self._list(bucket, fields)
        if f"{bucket}/{name}" not in self.server.storage.objects:
            return self._answer(404)
        generation, content = self.server.storage.objects[f"{bucket}/{name}"]
        if fields.get("ifGenerationNotMatch") == str(generation):
            return self._answer(304)
        if fields.get("ifGenerationMatch", str(generation)) != str(generation):
            return self._answer(412)
        headers = {"x_goog_generation": generation}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self._answer(200, content, **headers)
        first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
        headers["Content_Range"] = f"bytes {first}-{last}/{len(content)}"
        self._answer(206, content[first : last + 1], **headers)

    def _list(self, bucket: str, fields: dict[str, str]) -> None:
        items = [
            {"name": name, "size": str(len(content)), "generation": str(generation)}
            for key, (generation, content) in sorted(self.server.storage.objects.items())
            if key.startswith(f"{bucket}/{fields.get('prefix', '')}")
            for name in [key.removeprefix(f"{bucket}/")]
            if fields.get("startOffset", "") <= name < fields.get("endOffset", "\U0010ffff")
        ]
        self._answer(200, json.dumps({"items": items}).encode())

    def do_POST(self) -> None:
        bucket, _, fields = self._parse("/upload")
        content = self.rfile.read(int(self.headers["Content-Length"]))
        expected = fields.get("ifGenerationMatch")
        generation = self.server.storage.put(
            f"{bucket}/{fields['name']}", content, None if expected is None else int(expected)
        )
        if generation is None:
            return self._answer(412)
        item = {"name": fields["name"], "size": str(len(content)), "generation": str(generation)}
        self._answer(200, json.dumps(item).encode())

    def do_DELETE(self) -> None:
        bucket, name, _ = self._parse("")
        self.server.storage.objects.pop(f"{bucket}/{name}", None)
        self._answer(204)

    def log_message(self, *_: Any) -> None:
        pass


class _Upload(io.BytesIO):
    """A file that is there when it is closed."""

    def __init__(self, storage: Storage, name: str) -> None:
        super().__init__()
        self._storage, self._name = storage, name

    def close(self) -> None:
        if not self.closed:
            self._storage.put(self._name, self.getvalue())
        super().close()


class Backend(backend.Backend):
    """What epath does for `gs://`; folders are there as long as something is in them, or a mark."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def _name(self, path: Any) -> str:
        return str(path).removeprefix("gs://").rstrip("/")

    def open(self, path: Any, mode: str) -> Any:
        if "w" in mode:
            upload = _Upload(self._storage, self._name(path))
            return upload if "b" in mode else io.TextIOWrapper(upload, "utf-8")
        if self._name(path) not in self._storage.objects:
            raise FileNotFoundError(path)
        content = self._storage.objects[self._name(path)][1]
        return io.BytesIO(content) if "b" in mode else io.StringIO(content.decode())

    def exists(self, path: Any) -> bool:
        return self._name(path) in self._storage.objects or self.isdir(path)

    def isdir(self, path: Any) -> bool:
        return bool(self._storage.below(self._name(path)))

    def listdir(self, path: Any) -> list[str]:
        folder = self._name(path) + "/"
        names = (name.removeprefix(folder) for name in self._storage.below(self._name(path)))
        return sorted({name.split("/")[0] for name in names if name})

    def glob(self, path: Any) -> list[str]:
        pattern = self._name(path)
        parts = pattern.count("/") + 1
        every = {"/".join(name.split("/")[:parts]) for name in self._storage.objects}
        return [f"gs://{name}" for name in sorted(fnmatch.filter(every, pattern))]

    def walk(self, top: Any, *, top_down: bool = True, on_error: Any = None) -> Iterator[Any]:
        children = self.listdir(top)
        folders = [child for child in children if self.isdir(f"{top}/{child}")]
        yield top, folders, [child for child in children if child not in folders]
        for folder in folders:
            yield from self.walk(f"{top}/{folder}")

    def makedirs(self, path: Any, *, exist_ok: bool = False, mode: Any = None) -> None:
        self.mkdir(path, exist_ok=exist_ok)

    def mkdir(self, path: Any, *, exist_ok: bool = False, mode: Any = None) -> None:
        if self.exists(path) and not exist_ok:
            raise FileExistsError(path)
        self._storage.put(self._name(path) + "/", b"")

    def rmtree(self, path: Any) -> None:
        for name in self._storage.below(self._name(path)):
            self._storage.objects.pop(name, None)

    def remove(self, path: Any) -> None:
        if self._storage.objects.pop(self._name(path), None) is None:
            raise FileNotFoundError(path)

    def rename(self, path: Any, dst: Any) -> None:
        old, new = self._name(path), self._name(dst)
        for name in [n for n in (old, *self._storage.below(old)) if n in self._storage.objects]:
            content = self._storage.objects.pop(name)[1]
            self._storage.put(new + name.removeprefix(old), content)

    def replace(self, path: Any, dst: Any) -> None:
        self.rename(path, dst)

    def copy(self, path: Any, dst: Any, overwrite: bool) -> None:
        self._storage.put(self._name(dst), self._storage.objects[self._name(path)][1])

    def stat(self, path: Any) -> stat_utils.StatResult:
        if not self.exists(path):
            raise FileNotFoundError(path)
        content = self._storage.objects.get(self._name(path), (0, b""))[1]
        return stat_utils.StatResult(
            is_directory=self.isdir(path),
            length=len(content),
            mtime=0,
            owner=None,
            group=None,
            mode=None,
        )

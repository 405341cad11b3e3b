"""Google's object storage on loopback and in memory, for all who speak to it.

TensorStore and Google's package can be told another address. TensorFlow can't, so what it sends to
googleapis.com over TLS comes here through a proxy; a certificate made for the tests is accepted.
"""

import datetime
import http.server
import json
import os
import pathlib
import re
import ssl
import threading
import urllib.parse
from typing import Any

import trustme

ROOT = "/storage/v1/b/"
HOSTS = ("www.googleapis.com", "storage.googleapis.com")


class Storage:
    """Objects by bucket and name, each with a generation that every change raises.

    Attributes:
      buckets: the names of those that are there.
      objects: (generation, content) by 'bucket/name'.
      forbidden: a pattern; who asks for an object like that is refused.
    """

    def __init__(self) -> None:
        self.buckets: set[str] = set()
        self.objects: dict[str, tuple[int, bytes]] = {}
        self.forbidden = ""
        self._generation = 0
        self._lock = threading.Lock()

    def put(self, name: str, content: bytes, if_generation: str | None = None) -> bool:
        """Returns whether the old generation was the one expected."""
        with self._lock:
            if if_generation not in (None, str(self.objects.get(name, (0, b""))[0])):
                return False
            self._generation += 1
            self.objects[name] = self._generation, content
            return True

    def about(self, name: str) -> dict[str, Any]:
        """An object's metadata."""
        generation, content = self.objects[name]
        updated = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%S.000Z}"
        return {
            "name": name.partition("/")[2],
            "size": str(len(content)),
            "generation": str(generation),
            "updated": updated,
        }


class Server(http.server.ThreadingHTTPServer):
    """Speaks Google's JSON interface, also as the other end of a proxy's tunnel."""

    daemon_threads = True

    def __init__(self, folder: pathlib.Path) -> None:
        """Listens; `folder` gets the certificate."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.storage = Storage()
        self._certificate = folder / "certificate.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(os.fspath(self._certificate))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*HOSTS).configure_cert(self.tls)
        self._uploads: dict[str, str] = {}

    def environment(self) -> dict[str, str]:
        """What leads a process here instead of to Google."""
        address = f"http://127.0.0.1:{self.server_port}"
        return {
            "https_proxy": address,
            "no_proxy": "127.0.0.1,localhost",
            "CURL_CA_BUNDLE": str(self._certificate),
            "TENSORSTORE_GCS_HTTP_URL": address,
            "STORAGE_EMULATOR_HOST": address,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token",
        }

    def begin_upload(self, name: str) -> str:
        """Returns the number by which an upload's content will come."""
        number = str(len(self._uploads))
        self._uploads[number] = name
        return number

    def uploaded(self, number: str) -> str:
        """The object that this upload makes."""
        return self._uploads[number]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_CONNECT(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.request = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.setup()
        self.close_connection = False

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def do_GET(self) -> None:
        bucket, name, fields = self._asked()
        if not name:
            if bucket not in self.server.storage.buckets:
                return self._answer(404)
            if urllib.parse.urlsplit(self.path).path == f"{ROOT}{bucket}":
                return self._answer_json({"name": bucket, "location": "US"})
            return self._answer_json(self._list(bucket, fields))
        if self._refused(name):
            return
        if fields.get("alt") != "media" and self.path.startswith(ROOT):
            return self._answer_json(self.server.storage.about(name))
        generation, content = self.server.storage.objects[name]
        if fields.get("ifGenerationNotMatch") == str(generation):
            return self._answer(304)
        if fields.get("ifGenerationMatch", str(generation)) != str(generation):
            return self._answer(412)
        headers = {"x_goog_generation": generation}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self._answer(200, content, **headers)
        first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
        if first > last:
            return self._answer(416)
        headers["Content_Range"] = f"bytes {first}-{last}/{len(content)}"
        self._answer(206, content[first : last + 1], **headers)

    def do_POST(self) -> None:
        bucket, name, fields = self._asked()
        content = self._content()
        if "/rewriteTo/b/" in name:
            old, new = name.split("/rewriteTo/b/")
            if self._refused(old):
                return
            self.server.storage.put(new.replace("/o/", "/", 1), self.server.storage.objects[old][1])
            return self._answer_json({"done": True})
        name = f"{bucket}/{fields['name']}"
        if fields["uploadType"] == "resumable":
            number = self.server.begin_upload(name)
            place = f"https://{HOSTS[0]}/upload{ROOT}{bucket}/o?upload_id={number}"
            return self._answer(200, Location=place)
        if not self.server.storage.put(name, content, fields.get("ifGenerationMatch")):
            return self._answer(412)
        self._answer_json(self.server.storage.about(name))

    def do_PUT(self) -> None:
        name = self.server.uploaded(self._asked()[2]["upload_id"])
        content = self._content()
        self.server.storage.put(name, content)
        self._answer_json(self.server.storage.about(name))

    def do_DELETE(self) -> None:
        _, name, _ = self._asked()
        if not self._refused(name):
            del self.server.storage.objects[name]
            self._answer(204)

    def _asked(self) -> tuple[str, str, dict[str, str]]:
        """Returns the bucket, 'bucket/name' of an object, or '', and the query's fields."""
        url = urllib.parse.urlsplit(self.path)
        path = url.path.removeprefix("/upload").removeprefix(ROOT).removeprefix("/")
        bucket, _, name = path.partition("/")
        name = urllib.parse.unquote(name.removeprefix("o/") if ROOT in url.path else name)
        found = f"{bucket}/{name}" if name not in ("", "o") else ""
        return bucket, found, dict(urllib.parse.parse_qsl(url.query))

    def _content(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _refused(self, name: str) -> bool:
        """Answers for an object that is not there, or not for everyone."""
        forbidden = self.server.storage.forbidden
        if forbidden and re.search(forbidden, name):
            self._answer(403)
        elif name not in self.server.storage.objects:
            self._answer(404)
        else:
            return False
        return True

    def _list(self, bucket: str, fields: dict[str, str]) -> dict[str, Any]:
        """The objects whose names begin so, and what folders they are in below that."""
        prefix, delimiter = fields.get("prefix", ""), fields.get("delimiter", "")
        items, folders = [], set()
        for key in sorted(self.server.storage.objects):
            name = key.removeprefix(f"{bucket}/")
            if name == key or not name.startswith(prefix):
                continue
            rest = name.removeprefix(prefix)
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
            elif fields.get("startOffset", "") <= name < fields.get("endOffset", "\U0010ffff"):
                items.append(self.server.storage.about(key))
        return {"items": items, "prefixes": sorted(folders)}

    def _answer_json(self, content: dict[str, Any]) -> None:
        self._answer(200, json.dumps(content).encode())

    def _answer(self, status: int, content: bytes = b"", **headers: Any) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass

"""A server on loopback that stands in for Google Cloud Storage and keeps objects in memory.

TensorStore and google-cloud-storage can be given its address. TensorFlow can't, so its requests to
googleapis.com over TLS get here through a proxy, with a certificate made for the tests.
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
    """Objects by bucket and name, each with a generation that every change increments.

    Attributes:
      buckets: the names of the existing buckets.
      objects: (generation, content) by 'bucket/name'.
      forbidden: a pattern; requests for objects that match it are refused.
    """

    def __init__(self) -> None:
        self.buckets: set[str] = set()
        self.objects: dict[str, tuple[int, bytes]] = {}
        self.forbidden = ""
        self._generation = 0
        self._lock = threading.Lock()

    def put(self, name: str, content: bytes, if_generation: str | None = None) -> int | None:
        """Returns the new generation, or None if the old one is not the expected one."""
        with self._lock:
            if if_generation not in (None, str(self.objects.get(name, (0, b""))[0])):
                return None
            self._generation += 1
            self.objects[name] = self._generation, content
            return self._generation


def about(name: str, generation: int, content: bytes) -> dict[str, Any]:
    """Returns the metadata of an object."""
    updated = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%S.000Z}"
    return {
        "name": name.partition("/")[2],
        "size": str(len(content)),
        "generation": str(generation),
        "updated": updated,
    }


class Server(http.server.ThreadingHTTPServer):
    """Serves Google's JSON API, directly and through a proxy's tunnel."""

    daemon_threads = True

    def __init__(self, folder: pathlib.Path) -> None:
        """Starts to listen, and writes the certificate to `folder`."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.storage = Storage()
        self._certificate = folder / "certificate.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(os.fspath(self._certificate))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*HOSTS).configure_cert(self.tls)

    def environment(self) -> dict[str, str]:
        """Environment variables that direct a process here instead of to Google."""
        address = f"http://127.0.0.1:{self.server_port}"
        return {
            "https_proxy": address,
            "no_proxy": "127.0.0.1,localhost",
            "CURL_CA_BUNDLE": str(self._certificate),
            "TENSORSTORE_GCS_HTTP_URL": address,
            "STORAGE_EMULATOR_HOST": address,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token",
        }


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
        bucket, name, fields = self._parse_request()
        if not name:
            if bucket not in self.server.storage.buckets:
                return self._respond(404)
            if urllib.parse.urlsplit(self.path).path == f"{ROOT}{bucket}":
                return self._respond_json({"name": bucket, "location": "US"})
            return self._respond_json(self._list(bucket, fields))
        found = self._found(name)
        if found is None:
            return
        generation, content = found
        if fields.get("alt") != "media" and self.path.startswith(ROOT):
            return self._respond_json(about(name, *found))
        if fields.get("ifGenerationNotMatch") == str(generation):
            return self._respond(304)
        if fields.get("ifGenerationMatch", str(generation)) != str(generation):
            return self._respond(412)
        headers: dict[str, Any] = {"x_goog_generation": generation}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self._respond(200, content, **headers)
        first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
        if first > last:
            return self._respond(416)
        headers["Content_Range"] = f"bytes {first}-{last}/{len(content)}"
        self._respond(206, content[first : last + 1], **headers)

    def do_POST(self) -> None:
        bucket, name, fields = self._parse_request()
        content = self._content()
        if "/rewriteTo/b/" in name:
            old, new = name.split("/rewriteTo/b/")
            found = self._found(old)
            if found is None:
                return
            self.server.storage.put(new.replace("/o/", "/", 1), found[1])
            return self._respond_json({"done": True})
        name = f"{bucket}/{fields['name']}"
        if fields["uploadType"] == "resumable":
            place = (
                f"https://{HOSTS[0]}/upload{ROOT}{bucket}/o?upload_id={urllib.parse.quote(name)}"
            )
            return self._respond(200, Location=place)
        self._put(name, content, fields.get("ifGenerationMatch"))

    def do_PUT(self) -> None:
        self._put(self._parse_request()[2]["upload_id"], self._content())

    def do_DELETE(self) -> None:
        _, name, _ = self._parse_request()
        if self._found(name):
            self.server.storage.objects.pop(name, None)
            self._respond(204)

    def _parse_request(self) -> tuple[str, str, dict[str, str]]:
        """Returns the bucket, 'bucket/name' of an object or '', and the fields of the query."""
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

    def _found(self, name: str) -> tuple[int, bytes] | None:
        """Returns an object, or responds that it does not exist or is forbidden."""
        forbidden = self.server.storage.forbidden
        found = self.server.storage.objects.get(name)
        if forbidden and re.search(forbidden, name):
            self._respond(403)
            return None
        if found is None:
            self._respond(404)
        return found

    def _put(self, name: str, content: bytes, if_generation: str | None = None) -> None:
        generation = self.server.storage.put(name, content, if_generation)
        if generation is None:
            self._respond(412)
        else:
            self._respond_json(about(name, generation, content))

    def _list(self, bucket: str, fields: dict[str, str]) -> dict[str, Any]:
        """Lists the objects with a prefix, and the folders below that prefix."""
        prefix, delimiter = fields.get("prefix", ""), fields.get("delimiter", "")
        items, folders = [], set()
        for key, found in sorted(dict(self.server.storage.objects).items()):
            name = key.removeprefix(f"{bucket}/")
            if name == key or not name.startswith(prefix):
                continue
            rest = name.removeprefix(prefix)
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
            elif fields.get("startOffset", "") <= name < fields.get("endOffset", "\U0010ffff"):
                items.append(about(key, *found))
        return {"items": items, "prefixes": sorted(folders)}

    def _respond_json(self, content: dict[str, Any]) -> None:
        self._respond(200, json.dumps(content).encode())

    def _respond(self, status: int, content: bytes = b"", **headers: Any) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass

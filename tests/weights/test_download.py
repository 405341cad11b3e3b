import gzip
import http.server
import re
import tarfile
import threading

import numpy as np
import pytest
from checkpoint_files import WRITERS, hostile_tar, leaves
from etils import epath

from efficientnet import weights
from efficientnet.errors import UserError
from efficientnet.weights import download
from efficientnet.weights.download import Download
from efficientnet.weights.readers import archives

CONTENT = np.random.default_rng(0).bytes(1_000_003)


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; breaks off each of the first `breaks` answers after half of its bytes."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/b0.tar.gz": CONTENT}
        self.breaks = 0
        self.ranges = True
        self.requests = []

    def url(self, name="b0.tar.gz"):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content = self.server.files.get(self.path)
        asked = self.headers.get("Range")
        self.server.requests.append(asked)
        if content is None:
            self.send_error(404, "Not Found")
            return
        start = 0
        if asked and self.server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(content):
                self.send_error(416, "Range Not Satisfiable")
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        body = content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EFFICIENTNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache"


def test_whole_and_then_from_the_cache(server, cache):
    entry = Download("imagenet", "b0", server.url())
    path = download.fetch(entry)
    assert path == cache / "imagenet" / "b0.tar.gz"
    assert path.read_bytes() == CONTENT
    assert download.fetch(entry) == path
    assert server.requests == [None]
    assert {file.name for file in path.parent.iterdir()} == {"b0.tar.gz", "b0.tar.gz.sha256"}


def test_broken_off_and_resumed_at_once(server):
    server.breaks = 2
    path = download.fetch(Download("imagenet", "b0", server.url()))
    assert path.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=500001-", "bytes=750002-"]


def test_broken_off_and_resumed_by_the_next_command(server, cache):
    server.breaks = 3
    entry = Download("imagenet", "b0", server.url())
    with pytest.raises(UserError, match=r"broke off.*875002 bytes are kept for next time"):
        download.fetch(entry)
    assert not (cache / "imagenet" / "b0.tar.gz").exists()
    assert download.fetch(entry).read_bytes() == CONTENT
    assert server.requests[-1] == "bytes=875002-"


def test_server_without_ranges_sends_all_again(server):
    server.breaks, server.ranges = 1, False
    assert download.fetch(Download("imagenet", "b0", server.url())).read_bytes() == CONTENT


def test_part_that_is_too_long_starts_over(server, cache):
    (cache / "imagenet").mkdir(parents=True)
    (cache / "imagenet" / "b0.tar.gz.part").write_bytes(CONTENT + b"more")
    assert download.fetch(Download("imagenet", "b0", server.url())).read_bytes() == CONTENT


def test_missing_file(server, cache):
    with pytest.raises(UserError) as error:
        download.fetch(Download("imagenet", "b9", server.url("b9.tar.gz")))
    assert f"{server.url('b9.tar.gz')} answers 404" in str(error.value)
    assert str(cache / "imagenet" / "b9.tar.gz") in str(error.value)


def test_no_network(server, cache):
    server.server_close()
    url = server.url()
    with pytest.raises(UserError) as error:
        download.fetch(Download("imagenet", "b0", url))
    assert f"can't download {url}" in str(error.value)
    assert f"put it at {cache / 'imagenet' / 'b0.tar.gz'}" in str(error.value)


def test_digest_of_the_first_use_is_checked_ever_after(server):
    entry = Download("imagenet", "b0", server.url())
    path = download.fetch(entry)
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(UserError, match=r"not the file that b0.tar.gz.sha256 says"):
        download.fetch(entry)


@pytest.mark.usefixtures("tiny")
def test_a_word_becomes_weights(server, tmp_path, monkeypatch):
    server.files["/b0.tar.gz"] = WRITERS["tf1-archive"](tmp_path).read_bytes()
    entry = Download("advprop", "tiny", server.url())
    monkeypatch.setitem(download.DOWNLOADS, ("advprop", "tiny"), entry)
    pretrained = weights.load_pretrained("advprop", "tiny")
    kernel = leaves()["params", "stem_conv", "kernel"]
    np.testing.assert_array_equal(pretrained.params["stem_conv"]["kernel"], kernel)
    assert pretrained.preprocessing.mean == (127.5,) * 3
    assert (pretrained.ema, pretrained.source) == (True, "advprop (b0.tar.gz)")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../evil", tarfile.REGTYPE),
        ("a/../../evil", tarfile.REGTYPE),
        ("/evil", tarfile.REGTYPE),
        ("link", tarfile.SYMTYPE),
        ("link", tarfile.LNKTYPE),
        ("pipe", tarfile.FIFOTYPE),
    ],
)
def test_hostile_archives(name, kind, tmp_path):
    path = hostile_tar(tmp_path / "x.tar.gz", name, kind)
    with pytest.raises(UserError, match="refused"):
        weights.load_pretrained(str(path))
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar.gz"]


def test_archive_that_unpacks_to_too_much(tmp_path):
    path = epath.Path(tmp_path / "x.tar.gz")
    with gzip.open(path, "wb") as stream:
        stream.write(bytes(8 << 20))
    with pytest.raises(UserError, match="unpacks to over 32 times its size"):
        archives.unpack_tar(path)


def test_archive_without_a_checkpoint(tmp_path):
    path = hostile_tar(tmp_path / "x.tar.gz", "harmless")
    with pytest.raises(UserError, match="an archive without a TensorFlow checkpoint"):
        weights.load_pretrained(str(path))


def test_registry_knows_every_official_archive():
    assert len(download.DOWNLOADS) == 10 + 6 + 8 + 3 + 9 + 5 + 8 + 8
    urls = {entry.url.removeprefix(download.GOOGLE) for entry in download.DOWNLOADS.values()}
    assert len(urls) == len(download.DOWNLOADS)
    assert len({entry.path for entry in download.DOWNLOADS.values()}) == len(urls)
    assert "/noisystudent/noisy_student_efficientnet-l2_475.tar.gz" in urls
    assert "/randaug/efficientnet-b8-randaug.tar.gz" in urls
    assert "/advprop/efficientnet-b8.tar.gz" in urls
    assert "/lite/efficientnet-lite4.tar.gz" in urls

"""rewire fetch, from a server of the test's own."""

import hashlib
import http.server
import io
import json
import tarfile
import threading
from pathlib import Path

import pytest

CONTENT = bytes(range(256)) * 40


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `files` of its server, and parts of them where `ranges` is set; notes what is asked."""

    def do_GET(self):
        server = self.server
        content = server.files.get(self.path)
        wanted = self.headers.get("Range")
        server.asked.append((self.path, wanted))
        if content is None:
            return self.send_error(404)
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        self.wfile.write(content[begin : server.stop_at])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.asked, server.ranges, server.stop_at = {}, [], True, None
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def manifest(rewire, server, content=CONTENT, name="images.gz", unpacked="", **changes):
    """Serves the content, and describes it."""
    server.files[f"/{name}"] = content
    file = {
        "url": f"http://127.0.0.1:{server.server_address[1]}/{name}",
        "name": name,
        "bytes": len(content),
        "checksum": hashlib.md5(content).hexdigest(),
    }
    path = rewire.path("manifest.json")
    path.write_text(json.dumps({"folder": "set", "unpacked": unpacked, "files": [file | changes]}))
    return path


def fetch(rewire, path):
    return rewire("fetch", "mnist", "--data", rewire.path("data"), "--manifest", path, "--json")


def test_a_file_is_brought_once(rewire, server):
    path = manifest(rewire, server)
    for _ in range(2):
        done = fetch(rewire, path).check()
        assert done.json == {"name": "mnist", "folder": str(rewire.path("data", "set")), "bytes": len(CONTENT)}
        assert rewire.path("data", "set", "images.gz").read_bytes() == CONTENT
    assert server.asked == [("/images.gz", None)]
    assert [file.name for file in rewire.path("data", "set").iterdir()] == ["images.gz"]


@pytest.mark.parametrize("ranges", [True, False], ids=["goes on", "begins again"])
def test_what_was_cut_off(rewire, server, ranges):
    path = manifest(rewire, server, checksum=hashlib.sha256(CONTENT).hexdigest())
    server.stop_at = 1000
    fetch(rewire, path).refused(3, "/images.gz: ")
    assert rewire.path("data", "set", "images.gz.part").read_bytes() == CONTENT[:1000]
    server.stop_at, server.ranges = None, ranges
    fetch(rewire, path).check()
    assert rewire.path("data", "set", "images.gz").read_bytes() == CONTENT
    assert server.asked[1] == ("/images.gz", "bytes=1000-")
    assert len(server.asked) == (2 if ranges else 3)


def test_wrong_content_is_not_kept(rewire, server):
    for change, message in (
        ({"checksum": "0" * 32}, f"expected a checksum of {'0' * 32}, got {hashlib.md5(CONTENT).hexdigest()}"),
        ({"bytes": len(CONTENT) + 1}, f"expected {len(CONTENT) + 1} bytes, got {len(CONTENT)}"),
    ):
        fetch(rewire, manifest(rewire, server, **change)).refused(3, message)
        assert list(rewire.path("data", "set").iterdir()) == []
    fetch(rewire, manifest(rewire, server, bytes=5)).refused(3, "expected 5 bytes, the server sends more")
    assert list(rewire.path("data", "set").iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk(rewire, server):
    path = manifest(rewire, server)
    rewire.path("data", "set").mkdir(parents=True)
    rewire.path("data", "set", "images.gz.part").symlink_to("/dev/full")
    fetch(rewire, path).refused(1, "images.gz.part: cannot be written: No space left on device")


def test_what_is_not_there(rewire, server):
    path = manifest(rewire, server)
    server.files.clear()
    fetch(rewire, path).refused(3, "404")
    path = manifest(rewire, server, url="http://127.0.0.1:1/none")
    fetch(rewire, path).refused(3, "http://127.0.0.1:1/none: ")
    path = manifest(rewire, server, url="file:///etc/hostname")
    fetch(rewire, path).refused(3, "file:///etc/hostname: ")


def archive(*names):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = len(CONTENT)
            tar.addfile(entry, io.BytesIO(CONTENT))
        link = tarfile.TarInfo("batches/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
    return packed.getvalue()


def test_an_archive_is_unpacked_and_nothing_else_of_it(rewire, server):
    content = archive("batches/one.bin", "batches/../../escaped", "/absolute", "other/two.bin", "batches/three.bin")
    fetch(rewire, manifest(rewire, server, content, unpacked="batches")).check()
    folder = rewire.path("data", "set")
    assert sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if not file.is_dir()) == [
        "batches/one.bin", "batches/three.bin", "images.gz",
    ]  # fmt: skip
    assert (folder / "batches" / "one.bin").read_bytes() == CONTENT
    assert not rewire.path("escaped").exists() and not rewire.path("data", "escaped").exists()


@pytest.mark.parametrize(
    "content, message",
    [(archive("other/one.bin"), "no file in a folder batches"), (archive("batches/one.bin")[:-60], "images.gz: "), (CONTENT, "images.gz: ")],
    ids=["empty", "cut", "none"],
)  # fmt: skip
def test_an_archive_that_is_none(rewire, server, content, message):
    done = fetch(rewire, manifest(rewire, server, content, unpacked="batches")).check(3)
    assert done.out == "" and message in done.err.splitlines()[-1]


def test_usage(rewire):
    rewire("fetch", "imagenet").refused(2, "NAME")
    rewire("fetch", "mnist", "--manifest", "none.json").refused(3, "none.json")
    bad = rewire.path("bad.json")
    for text in ("[]", "{", '{"folder": "..", "unpacked": "", "files": [{"url": "u", "name": "n", "bytes": 1, "checksum": ""}]}'):
        bad.write_text(text)
        rewire("fetch", "mnist", "--manifest", bad).refused(3, "bad.json: ")

"""Downloads from a server of our own: resumed, cut off, changed, refused."""

from __future__ import annotations

import hashlib
import resource
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bclip_core import fetch as fetch_module
from bclip_core.fetch import FetchError, fetch, main

CONTENT = bytes(range(256)) * 9_000  # 2.3 MB, several chunks
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT at every path but /missing; misbehaves as told."""

    daemon_threads = True
    ranges = True  # answers ranges
    length = True  # tells the length
    cut_after = 0  # bytes of an answer after which the connection is closed; 0: never
    content = CONTENT

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []  # the Range of every request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/weights.pt"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        content, status = self.server.content, 200
        if self.path == "/missing":
            return self.send_error(404)
        if wanted and self.server.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                return self.send_error(416)
            content, status = content[start:], 206
        self.send_response(status)
        if self.server.length:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.server.cut_after or None])
        return None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_file_comes_whole_and_is_asked_for_once(server: Server, tmp_path: Path) -> None:
    path = fetch(server.url, tmp_path / "new" / "weights.pt", DIGEST, progress=False)
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["weights.pt"]
    fetch(server.url, path, DIGEST)
    fetch(server.url, path)  # nothing to compare with: taken as it is
    assert server.asked == [None]


def test_a_cut_off_download_is_resumed_where_it_ended(server: Server, tmp_path: Path) -> None:
    path, server.cut_after = tmp_path / "weights.pt", 1_500_000
    with pytest.raises(FetchError, match=r"cut off after 1,500,000 bytes of 2,304,000 bytes; "):
        fetch(server.url, path, DIGEST, progress=False)
    assert not path.exists()
    assert (tmp_path / "weights.pt.part").read_bytes() == CONTENT[:1_500_000]
    server.cut_after = 0
    assert fetch(server.url, path, DIGEST, progress=False).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1500000-"]


def test_a_server_that_ignores_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    path, server.ranges = tmp_path / "weights.pt", False
    (tmp_path / "weights.pt.part").write_bytes(b"an older beginning" * 100)
    assert fetch(server.url, path, DIGEST, progress=False).read_bytes() == CONTENT
    assert server.asked == ["bytes=1800-"]


def test_a_part_that_is_already_whole_is_only_checked(server: Server, tmp_path: Path) -> None:
    (tmp_path / "weights.pt.part").write_bytes(CONTENT)
    path = fetch(server.url, tmp_path / "weights.pt", DIGEST, progress=False)
    assert path.read_bytes() == CONTENT
    (tmp_path / "again.pt.part").write_bytes(CONTENT + b"too long")
    with pytest.raises(FetchError, match="SHA-256"):
        fetch(server.url, tmp_path / "again.pt", DIGEST, progress=False)
    assert fetch(server.url, tmp_path / "again.pt", DIGEST, progress=False).is_file()


def test_a_wrong_digest_keeps_nothing_of_the_download(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"what was there before")
    other = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(FetchError, match=rf"SHA-256 is {DIGEST}: expected {other}; .*removed"):
        fetch(server.url, path, other, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["weights.pt"]
    assert path.read_bytes() == b"what was there before"
    assert fetch(server.url, path, DIGEST, progress=False).read_bytes() == CONTENT


def test_a_beginning_of_another_file_is_found_out(server: Server, tmp_path: Path) -> None:
    (tmp_path / "weights.pt.part").write_bytes(b"x" * 1000)
    with pytest.raises(FetchError, match="SHA-256"):
        fetch(server.url, tmp_path / "weights.pt", DIGEST, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_without_a_digest_nothing_is_resumed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "weights.pt.part").write_bytes(b"x" * 1000)
    path = fetch(server.url, tmp_path / "weights.pt", progress=False)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None]


def test_an_answer_without_length_is_read_to_its_end(server: Server, tmp_path: Path) -> None:
    server.length = False
    assert fetch(server.url, tmp_path / "a", DIGEST, progress=False).read_bytes() == CONTENT


def test_refusals_are_named(server: Server, tmp_path: Path) -> None:
    missing = server.url.replace("weights.pt", "missing")
    with pytest.raises(FetchError, match=r"/missing: the server answers 404 Not Found"):
        fetch(missing, tmp_path / "a", DIGEST)
    server.server_close()
    with pytest.raises(FetchError, match=r"weights\.pt: .*refused"):
        fetch("http://127.0.0.1:1/weights.pt", tmp_path / "a", DIGEST)
    with pytest.raises(ValueError, match=r"url='file:///etc/passwd': expected http"):
        fetch("file:///etc/passwd", tmp_path / "a")
    with pytest.raises(ValueError, match=r"expected_sha256='abc': expected 64 hexa"):
        fetch(server.url, tmp_path / "a", "abc")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_what_has_come(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(FetchError, match=r"cannot be written: File too large; .*make room"):
            fetch(server.url, path, DIGEST, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not path.exists()
    assert fetch(server.url, path, DIGEST, progress=False).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={1 << 20}-"]


def test_too_little_space_is_told_before_anything_is_read(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = fetch_module.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(fetch_module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FetchError, match=r"2,304,000 bytes to come, but .* has 1,000 left"):
        fetch(server.url, tmp_path / "weights.pt", DIGEST, progress=False)


def test_the_bar_shows_bytes_from_where_it_resumes(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    (tmp_path / "weights.pt.part").write_bytes(CONTENT[:2_000_000])
    fetch(server.url, tmp_path / "weights.pt", DIGEST)
    assert "2.30M/2.30M" in capsys.readouterr().err


def test_the_command_line(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "weights.pt")
    assert main([server.url, path, "--sha256", DIGEST]) == 0
    assert main([server.url, str(tmp_path / "unchecked")]) == 0
    assert main([server.url, path, "--sha256", "f" * 64]) == 1
    output = capsys.readouterr()
    assert f"{DIGEST}\n" in output.out
    assert "(not checked)" in output.out
    assert "fetch: http://127.0.0.1" in output.err

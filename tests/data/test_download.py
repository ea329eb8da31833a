"""Downloads from a server on 127.0.0.1 that can be told to misbehave."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edge_seg.data import download
from edge_seg.data.download import fetch
from edge_seg.errors import DataError, UsageError

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``content`` at any path. ``stop_after``: bytes of each answer that come before the connection breaks."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.version = CONTENT, '"1"'
        self.stop_after: list[int] = []
        self.failures: list[int] = []
        self.ranges: list[str | None] = []
        self.takes_ranges = self.states_length = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/set.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        if server.failures:
            self.send_error(server.failures.pop(0))
            return
        start = 0
        if asked and server.takes_ranges and self.headers.get("If-Range") == server.version:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start and start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        body = server.content[start:]
        if server.states_length:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", server.version)
        self.end_headers()
        self.wfile.write(body[: server.stop_after.pop(0)] if server.stop_after else body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_file_comes_whole_with_progress(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    file = fetch(server.url, tmp_path / "new/set.bin", SHA256.upper(), progress=lambda *now: seen.append(now))
    assert file.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in file.parent.iterdir()] == ["set.bin"]


def test_a_file_that_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        fetch(server.url, tmp_path / "set.bin", SHA256)
    assert len(server.ranges) == 1
    (tmp_path / "set.bin").write_bytes(b"something else")
    assert fetch(server.url, tmp_path / "set.bin", SHA256).read_bytes() == CONTENT


def test_a_broken_connection_is_taken_up_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.stop_after = [300_000, 300_000]
    assert fetch(server.url, tmp_path / "set.bin", SHA256).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-", "bytes=600000-"]


def test_a_later_call_goes_on(server: Server, tmp_path: Path) -> None:
    server.stop_after = [300_000, 0, 0, 0, 0]
    with pytest.raises(DataError, match="300000 of 1,024,000 bytes") as caught:
        fetch(server.url, tmp_path / "set.bin")
    assert "goes on" in caught.value.remedy
    assert not (tmp_path / "set.bin").exists()
    server.stop_after = []
    assert fetch(server.url, tmp_path / "set.bin").read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=300000-"


def test_a_file_that_changed_meanwhile_is_not_mixed_with_the_old_one(server: Server, tmp_path: Path) -> None:
    server.stop_after = [300_000, 0, 0, 0, 0]
    with pytest.raises(DataError):
        fetch(server.url, tmp_path / "set.bin")
    server.stop_after, server.version, server.content = [], '"2"', b"x" * 400_000
    assert fetch(server.url, tmp_path / "set.bin").read_bytes() == server.content


def test_a_server_without_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.takes_ranges, server.stop_after = False, [300_000]
    assert fetch(server.url, tmp_path / "set.bin", SHA256).read_bytes() == CONTENT


def test_a_download_that_was_killed_at_its_very_end_is_finished(server: Server, tmp_path: Path) -> None:
    server.stop_after = [len(CONTENT) - 1, 0, 0, 0, 0]
    with pytest.raises(DataError):
        fetch(server.url, tmp_path / "set.bin")
    with (tmp_path / "set.bin.part").open("ab") as partial:
        partial.write(CONTENT[-1:])
    server.stop_after = []
    assert fetch(server.url, tmp_path / "set.bin", SHA256).read_bytes() == CONTENT


def test_a_length_need_not_be_stated(server: Server, tmp_path: Path) -> None:
    server.states_length = False
    assert fetch(server.url, tmp_path / "set.bin", SHA256).read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_nothing_kept(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=SHA256):
        fetch(server.url, tmp_path / "set.bin", "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_passing_fault_of_the_server_is_waited_for_a_lasting_one_is_told(server: Server, tmp_path: Path) -> None:
    server.failures = [503, 502]
    assert fetch(server.url, tmp_path / "set.bin", SHA256).read_bytes() == CONTENT
    server.failures = [404]
    with pytest.raises(DataError, match="404"):
        fetch(server.url, tmp_path / "other.bin")


def test_no_server_and_no_web_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    with Server() as gone:
        url = gone.url
    with pytest.raises(DataError, match="refused"):
        fetch(url, tmp_path / "set.bin")
    with pytest.raises(UsageError, match="http"):
        fetch("file:///etc/passwd", tmp_path / "set.bin")

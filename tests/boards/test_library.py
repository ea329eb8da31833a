"""edge-seg board fetch-library, against a server on 127.0.0.1: nothing is unpacked that nobody vouches for."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edge_seg.boards import library
from edge_seg.boards.library import LIBRARY
from edge_seg.data import download
from edge_seg.files import sha256
from tests.boards.test_pack import program

Run = Callable[..., tuple[int, dict[str, Any], str]]
NAME = "inference_lite_lib.armlinux.armv8.gcc.with_extra.with_cv.tar.gz"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Its address; it has the files of the folder ``published``."""
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0)
    (tmp_path / "published").mkdir()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file = tmp_path / "published" / self.path.rpartition("/")[2]
            if not file.is_file():
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(file.stat().st_size))
            self.end_headers()
            self.wfile.write(file.read_bytes())

        def log_message(self, *arguments: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


def archive(file: Path, root: str = "inference_lite_lib.armlinux.armv8", **wrong: Any) -> Path:
    """An archive as the official ones are laid out; ``wrong`` says what is wrong with its library."""
    made = program(file.with_name("library"), interpreter="", machine=wrong.pop("machine", 183))
    words = wrong.pop("words", b"\0generate_proposals_v2\0v2.13-rc\0")
    content = {"cxx/include/paddle_api.h": b"// api", LIBRARY: made.read_bytes() + words}
    content.update(wrong.pop("more", {}))
    made.unlink()
    with tarfile.open(file, "w:gz") as tarred:
        for name, data in content.items():
            entry = tarfile.TarInfo(f"{root}/{name}" if root else name)
            entry.size = len(data)
            tarred.addfile(entry, io.BytesIO(data))
    return file


@pytest.fixture
def published(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The facts' archive for armv8, where that server is the publisher."""
    facts = json.loads(library.FACTS.read_text())
    (tmp_path / "facts.json").write_text(json.dumps({**facts, "base": server}))
    monkeypatch.setattr(library, "FACTS", tmp_path / "facts.json")
    return archive(tmp_path / "published" / NAME)


def test_a_hash_is_asked_for_and_then_it_is_unpacked(run: Run, published: Path, tmp_path: Path) -> None:
    words = ["board", "fetch-library", "--arch", "armv8", "--dir", tmp_path / "lite"]
    code, said, _ = run(*words)
    assert (code, said["error"]["code"]) == (1, "hash-unknown")
    assert f"--sha256 {sha256(published)}" in said["error"]["remedy"]
    assert [entry.name for entry in (tmp_path / "lite").iterdir()] == [NAME], "nothing is unpacked"
    code, said, _ = run(*words, "--sha256", sha256(published).upper())
    assert (code, said["version"], said["folder"]) == (0, "2.13rc0", str(tmp_path / "lite" / "armv8"))
    assert Path(said["library"]).is_file()
    assert (tmp_path / "lite/armv8/cxx/include/paddle_api.h").is_file()
    published.unlink()
    assert run(*words, "--sha256", said["sha256"])[0] == 0, "what is here isn't fetched again"


def test_a_hash_that_is_known(run: Run, published: Path, tmp_path: Path) -> None:
    facts = json.loads(library.FACTS.read_text())
    facts["archives"]["armv8"]["sha256"] = sha256(published)
    library.FACTS.write_text(json.dumps(facts))
    words = ["board", "fetch-library", "--arch", "armv8", "--dir", tmp_path / "lite"]
    assert run(*words)[0] == 0
    archive(published, more={"README": b"altered"})
    (tmp_path / "lite" / NAME).unlink()
    code, said, _ = run(*words)
    assert code == 1
    assert "expected" in said["error"]["message"]
    assert (tmp_path / "lite/armv8/cxx").is_dir(), "the earlier one stays"


def test_another_hash(run: Run, published: Path, tmp_path: Path) -> None:
    words = ["board", "fetch-library", "--arch", "armv8", "--dir", tmp_path / "lite"]
    code, said, _ = run(*words, "--sha256", "0" * 64)
    assert (code, sha256(published) in said["error"]["message"]) == (1, True)
    assert not (tmp_path / "lite" / "armv8").exists()
    assert run(*words, "--sha256", "abc")[0] == 2


def test_where_it_can_not_be_had(run: Run, server: str, published: Path, tmp_path: Path) -> None:
    words = ["board", "fetch-library", "--dir", tmp_path / "lite"]
    for more in (["--arch", "armv7hf"], ["--arch", "armv8", "--url", "http://127.0.0.1:1/x.tar.gz"]):
        code, said, _ = run(*words, *more)
        assert code == 1
        assert "--archive" in said["error"]["remedy"]
        assert "PADDLE_LITE_DIR" in said["error"]["remedy"]
    # Brought here another way:
    code, said, _ = run(*words, "--arch", "armv8", "--archive", published, "--sha256", sha256(published))
    assert code == 0, said
    assert run(*words, "--arch", "armv8", "--archive", tmp_path / "none")[0] == 2
    assert run(*words, "--arch", "armv8", "--archive", published, "--url", server)[0] == 2


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"machine": 40}, "wrong-architecture", "is for arm"),
        ({"words": b"v2.13-rc"}, "archive-other", "no kernel for generate_proposals_v2"),
        ({"more": {"cxx/lib/libpaddle_light_api_shared.so": b"text"}}, "archive-other", "is no library"),
        ({"more": {"../../out": b"x"}}, "archive-refused", "leads out"),
    ],
)
def test_archives_that_are_refused(run: Run, tmp_path: Path, changes: dict[str, Any], code: str, words: str) -> None:
    file = archive(tmp_path / "lite.tar.gz", **changes)
    options = ["--arch", "armv8", "--archive", file, "--sha256", sha256(file), "--dir", tmp_path / "lite"]
    _, said, _ = run("board", "fetch-library", *options)
    assert (said["error"]["code"], words in said["error"]["message"]) == (code, True), said
    assert not (tmp_path / "lite" / "armv8").exists()


def test_an_archive_without_a_folder_of_its_own(run: Run, tmp_path: Path) -> None:
    file = archive(tmp_path / "lite.tar.gz", root="", words=b"\0generate_proposals_v2\0")
    options = ["--arch", "armv8", "--archive", file, "--sha256", sha256(file), "--dir", tmp_path / "lite"]
    code, said, _ = run("board", "fetch-library", *options)
    assert (code, said["version"]) == (0, None), said

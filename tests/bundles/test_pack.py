"""edge-seg bundle pack and unpack."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_seg.files import sha256
from tests.bundles.made import edit, make_bundle

Bundle = Callable[..., tuple[int, str, str]]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_there_and_back(bundle: Bundle, sound: Path, tmp_path: Path) -> None:
    file, back = tmp_path / "new/packed.tar.gz", tmp_path / "back"
    code, out, _ = bundle("pack", sound, "--out", file, "--json")
    assert code == 0
    said = json.loads(out)
    assert (said["bytes"], said["sha256"]) == (file.stat().st_size, sha256(file))
    code, out, _ = bundle("unpack", file, "--out", back, "--json")
    assert (code, json.loads(out)["id"]) == (0, said["id"])
    assert contents(back) == contents(sound)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "new", "sound"]


def test_the_bytes_hang_on_the_bundle_alone(bundle: Bundle, sound: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere/by another name"
    shutil.copytree(sound, other)
    for file in other.rglob("*"):
        file.chmod(0o700)
        os.utime(file, (1, 1))
    (other / ".DS_Store").touch()
    for folder, name in ((sound, "a.tar.gz"), (other, "b.tgz")):
        assert bundle("pack", folder, "--out", tmp_path / name)[0] == 0
    packed = (tmp_path / "a.tar.gz").read_bytes()
    assert packed == (tmp_path / "b.tgz").read_bytes()
    # gzip's header: no flags, no time, no name
    assert packed[:10] == b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff"
    with tarfile.open(tmp_path / "a.tar.gz") as tarred:
        entries = tarred.getmembers()
    assert [entry.name for entry in entries] == [
        f"shapes-256x256-arm-fp32/{name}"
        for name in ("detect.nb", "golden/expected.json", "golden/image.png", "manifest.json", "mask.nb")
    ]
    for entry in entries:
        assert (entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname, entry.mode) == (0, 0, 0, "", "", 0o644)


@pytest.mark.parametrize("name", ["../../evil", "/etc", "..", "", "ä ö", "\x1b\ud800\0", "x" * 500, "-rf"])
def test_any_name_gives_one_plain_folder(bundle: Bundle, tmp_path: Path, name: str) -> None:
    folder = edit(make_bundle(tmp_path / "b"), lambda plain: plain.update(name=name))
    assert bundle("pack", folder, "--out", tmp_path / "b.tgz")[0] == 0
    assert bundle("unpack", tmp_path / "b.tgz", "--out", tmp_path / "back")[0] == 0
    with tarfile.open(tmp_path / "b.tgz") as tarred:
        tops = {entry.name.split("/")[0] for entry in tarred.getmembers()}
    (top,) = tops
    assert top
    assert not top.startswith((".", "-"))


def test_an_older_file_is_replaced_only_by_a_whole_one(bundle: Bundle, sound: Path, tmp_path: Path) -> None:
    file = tmp_path / "packed.tar.gz"
    older = b"\x1f\x8bolder"
    file.write_bytes(older)
    (sound / "mask.nb").unlink()
    code, _, err = bundle("pack", sound, "--out", file)
    assert code == 1
    assert "mask.nb: missing" in err
    assert file.read_bytes() == older
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packed.tar.gz", "sound"]


def test_a_file_that_is_no_archive_stays(bundle: Bundle, sound: Path, tmp_path: Path) -> None:
    key = tmp_path / "maker"
    key.write_text("a private key")
    code, _, err = bundle("pack", sound, "--out", key)
    assert code == 2
    assert "is not an archive" in err
    assert key.read_text() == "a private key"


def test_what_is_not_sound_is_not_packed(bundle: Bundle, sound: Path, tmp_path: Path) -> None:
    edit(sound, lambda plain: plain["graphs"]["mask"]["inputs"].pop())
    code, _, err = bundle("pack", sound, "--out", tmp_path / "packed.tar.gz")
    assert code == 1
    assert "inputs of the graph 'mask'" in err
    assert not (tmp_path / "packed.tar.gz").exists()


def test_a_full_disk_leaves_nothing(edge_seg: Callable[..., Any], sound: Path, tmp_path: Path) -> None:
    done = edge_seg("bundle", "pack", sound, "--out", "packed.tgz", file_limit=2000)
    assert done.returncode == 1
    assert "packed.tgz: file too large" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["sound"]


def test_it_is_not_packed_into_itself(bundle: Bundle, sound: Path) -> None:
    before = contents(sound)
    for out in (sound / "manifest.json", sound / "packed.tar.gz", sound):
        assert bundle("pack", sound, "--out", out)[0] == 2
    assert contents(sound) == before


def test_an_older_bundle_is_replaced_another_folder_is_not(bundle: Bundle, sound: Path, tmp_path: Path) -> None:
    bundle("pack", sound, "--out", tmp_path / "packed")
    older = make_bundle(tmp_path / "older", recipe="x")
    assert bundle("unpack", tmp_path / "packed", "--out", older)[0] == 0
    assert contents(older) == contents(sound)
    for stranger in ({"letter": ""}, {"manifest.json": '{"name": "app"}', "index.html": ""}):
        home = tmp_path / f"home{len(stranger)}"
        home.mkdir()
        for name, text in stranger.items():
            (home / name).write_text(text)
        code, _, err = bundle("unpack", tmp_path / "packed", "--out", home)
        assert code == 2
        assert "stays as it is" in err
        assert {file.name: file.read_text() for file in home.iterdir()} == stranger


def test_ones_own_files_in_a_bundle_are_not_lost(bundle: Bundle, sound: Path, tmp_path: Path) -> None:
    bundle("pack", sound, "--out", tmp_path / "packed")
    older = make_bundle(tmp_path / "older", recipe="x")
    (older / "mine").mkdir()
    (older / "mine/notes.txt").touch()
    code, _, err = bundle("unpack", tmp_path / "packed", "--out", older)
    assert code == 2
    assert "mine/notes.txt" in err
    assert (older / "mine/notes.txt").exists()


def tar(file: Path, folder: Path, *, top: str, extra: tuple[tarfile.TarInfo, ...] = ()) -> Path:
    """As a user's own ``tar czf`` would make it."""
    with tarfile.open(file, "w:gz") as tarred:
        tarred.add(folder, top)
        for entry in extra:
            tarred.addfile(entry, io.BytesIO(b"12345"))
    return file


@pytest.mark.parametrize("top", [".", "any-folder"])
def test_an_archive_made_by_hand_will_do(bundle: Bundle, sound: Path, tmp_path: Path, top: str) -> None:
    (sound / "notes.txt").touch()
    assert bundle("unpack", tar(tmp_path / "a.tgz", sound, top=top), "--out", tmp_path / "back")[0] == 0
    assert contents(tmp_path / "back").keys() == contents(sound).keys() - {"notes.txt"}


def link(name: str, target: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    return entry


def outside() -> tarfile.TarInfo:
    entry = tarfile.TarInfo("b/../../outside")
    entry.size = 5
    return entry


@pytest.mark.parametrize("entry", [outside(), link("b/mask2.nb", "/etc/passwd"), link("b/golden", "..")])
def test_an_archive_that_means_harm(bundle: Bundle, sound: Path, tmp_path: Path, entry: tarfile.TarInfo) -> None:
    file = tar(tmp_path / "a.tgz", sound, top="b", extra=(entry,))
    code, out, _ = bundle("unpack", file, "--out", tmp_path / "in/back", "--json")
    assert code == 1
    assert json.loads(out)["error"]["code"] == "archive-refused"
    assert list((tmp_path / "in").iterdir()) == []
    assert not (tmp_path / "outside").exists()


def test_what_is_not_a_whole_bundle(bundle: Bundle, sound: Path, tmp_path: Path) -> None:
    def unpacked(file: Path) -> str:
        code, out, err = bundle("unpack", file, "--out", tmp_path / "in/back", "--json")
        assert code == 1
        assert "partial" not in err
        assert f"{file}" in err
        assert not (tmp_path / "in").exists() or list((tmp_path / "in").iterdir()) == []
        return str(json.loads(out)["error"]["code"])

    (sound / "mask.nb").write_bytes(b"other")
    assert unpacked(tar(tmp_path / "a.tgz", sound, top="b")) == "hash-mismatch"
    (sound / "manifest.json").unlink()
    assert unpacked(tar(tmp_path / "b.tgz", sound, top="b")) == "bundle-missing"
    (tmp_path / "c.tgz").write_bytes(gzip.compress(b"text"))
    assert unpacked(tmp_path / "c.tgz") == "archive-damaged"
    assert unpacked(tmp_path / "nothing.tgz") == "enoent"
    assert unpacked(sound) == "eisdir"

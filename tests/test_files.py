"""Files and folders that are whole or not there."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_seg.errors import BundleError, UsageError
from edge_seg.files import (
    atomic_dir,
    atomic_file,
    changed_dir,
    read_json,
    refuse_non_utf8,
    sha256,
    write_json,
    write_text,
)
from edge_seg.partial import MARK


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Broken(Exception):
    """What a test lets go wrong."""


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "a/b.txt", "one")
    write_text(tmp_path / "a/b.txt", "two")
    assert (tmp_path / "a/b.txt").read_text() == "two"
    assert names(tmp_path / "a") == ["b.txt"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "b.txt", "one")
    with pytest.raises(Broken), atomic_file(tmp_path / "b.txt") as partial:
        partial.write_text("half")
        raise Broken
    assert names(tmp_path) == ["b.txt"]
    assert (tmp_path / "b.txt").read_text() == "one"


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    write_text(tmp_path / "real.txt", "one")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text(tmp_path / "link.txt", "two")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "two"


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """As root, even /dev/null would be."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / "link", tmp_path, Path("/")):
        with pytest.raises(UsageError, match="a file is to be written here"), atomic_file(path):
            raise AssertionError("it is refused before anything is written")
    assert (tmp_path / "pipe").is_fifo()


def test_the_longest_names_work(tmp_path: Path) -> None:
    write_text(tmp_path / ("x" * 251 + ".txt"), "one")
    assert names(tmp_path) == ["x" * 251 + ".txt"]


def test_a_full_disk_is_told_by_the_files_own_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="b.txt") as caught, atomic_file(tmp_path / "b.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")  # what write() raises: without a name
    assert caught.value.filename == str(tmp_path / "b.txt")


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    with atomic_dir(tmp_path / "out") as folder:
        (folder / "a").write_text("x")
        assert not (tmp_path / "out").exists()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["a"]


def test_a_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_dir(tmp_path / "out") as folder:
        (folder / "a").write_text("x")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_a_folder_of_ours_is_replaced(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with atomic_dir(tmp_path / "out", mark="mark.json") as folder:
            (folder / "mark.json").write_text(text)
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out/mark.json").read_text() == "two"


def test_a_failed_replacement_leaves_the_old_folder(tmp_path: Path) -> None:
    with atomic_dir(tmp_path / "out", mark="mark.json") as folder:
        (folder / "mark.json").write_text("one")
    with pytest.raises(Broken), atomic_dir(tmp_path / "out", mark="mark.json"):
        raise Broken
    assert (tmp_path / "out/mark.json").read_text() == "one"
    assert names(tmp_path) == ["out"]


def test_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with atomic_dir(tmp_path / "out") as folder:
        (folder / "a").write_text("x")
    assert names(tmp_path / "out") == ["a"]


@pytest.mark.parametrize("mark", [None, "mark.json"])
def test_a_strangers_folder_is_never_replaced(tmp_path: Path, mark: str | None) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/photo.jpg").touch()
    with pytest.raises(UsageError, match="holds other files"), atomic_dir(tmp_path / "home", mark=mark):
        pytest.fail("no work may begin")
    assert names(tmp_path / "home") == ["photo.jpg"]


def test_a_folder_is_changed_as_a_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "a/b.txt", "one")
    write_text(tmp_path / "a/c/d.txt", "other")
    os.mkfifo(tmp_path / "a/pipe")
    kept = (tmp_path / "a/c/d.txt").stat().st_ino
    with pytest.raises(Broken), changed_dir(tmp_path / "a") as changed:
        write_text(changed / "b.txt", "two")
        raise Broken
    assert (tmp_path / "a/b.txt").read_text() == "one"
    with changed_dir(tmp_path / "a") as changed:
        write_text(changed / "b.txt", "two")
        assert (tmp_path / "a/b.txt").read_text() == "one"
    assert (tmp_path / "a/b.txt").read_text() == "two"
    assert (tmp_path / "a/c/d.txt").stat().st_ino == kept
    assert (tmp_path / "a/pipe").is_fifo()
    assert names(tmp_path) == ["a"]


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(UsageError, match="a file"), atomic_dir(tmp_path / "out"):
        pass
    assert names(tmp_path) == ["out"]


def test_the_current_folder_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "new")
    with atomic_dir(Path(".")) as folder:
        (folder / "a").touch()
    assert names(tmp_path / "new") == ["a"]


def test_a_link_to_a_folder_stays_one(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk")
    with atomic_dir(tmp_path / "out") as folder:
        (folder / "a").touch()
    assert (tmp_path / "out").is_symlink()
    assert names(tmp_path / "disk") == ["a"]


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    code = f"""
import os, pathlib
from edge_seg.files import atomic_dir
with atomic_dir(pathlib.Path({str(tmp_path / "out")!r})) as folder:
    (folder / "half").touch()
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert names(tmp_path)[0].startswith(MARK)
    foreign = f"{MARK}other-000000-1-000000"  # of another machine that shares the disk
    (tmp_path / foreign).touch()
    write_text(tmp_path / "next.txt", "x")
    assert names(tmp_path) == [foreign, "next.txt"]


def test_json_comes_back(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None], "a": "ä"}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json", BundleError) == value


def test_nan_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1, column 1"),
        (b'{"a": 1,\n oops}', "line 2, column 2"),
        (b"\xff\xfe", "not UTF-8 text (byte 0)"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b"[" * 100_000, "nested too deep"),
    ],
)
def test_broken_json_is_told_by_place(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(BundleError, match=re.escape(message)) as caught:
        read_json(file, BundleError)
    assert str(file) in str(caught.value)


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such file"):
        read_json(tmp_path / "none.json", BundleError)
    with pytest.raises(BundleError, match="a folder, expected a file"):
        read_json(tmp_path, BundleError)


def test_only_regular_files_of_a_sensible_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path / "pipe.json", Path("/dev/zero")):
        with pytest.raises(BundleError, match="a pipe or a device, expected a file"):
            read_json(path, BundleError)
    (tmp_path / "big.json").write_bytes(b" " * 1001)
    with pytest.raises(BundleError, match=r"1,001 bytes, expected at most 1,000"):
        read_json(tmp_path / "big.json", BundleError, most=1000)


def test_a_name_that_paddle_cannot_open(tmp_path: Path) -> None:
    refuse_non_utf8(tmp_path / "grün")
    with pytest.raises(UsageError, match="isn't UTF-8") as caught:
        refuse_non_utf8(tmp_path / os.fsdecode(b"n\xff") / "model")
    assert "rename" in caught.value.remedy


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_unwritable_places_are_os_errors(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError) as caught:
        write_text(tmp_path / "file/a.txt", "x")
    assert caught.value.errno in (errno.ENOTDIR, errno.EEXIST)
    if os.geteuid() == 0:
        return  # root may write anywhere
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(PermissionError):
        write_text(tmp_path / "locked/a.txt", "x")

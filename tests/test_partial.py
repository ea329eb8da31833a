"""What killed processes leave, and what becomes of it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_seg import files, partial
from edge_seg.files import atomic_dir, atomic_file, final_name, write_text

ROOT = Path(__file__).parents[1]
_WITHOUT_EXCHANGE = "import ctypes; ctypes.CDLL = lambda *a, **k: type('Old', (), {})()\n"


def _python(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, text=True, stdout=subprocess.PIPE)


def _writer(place: Path, before: str = "") -> str:
    """A program that replaces the folder ``out`` and the file ``file`` again and again: two files, the same in both."""
    return f"""{before}
import itertools, pathlib
from edge_seg.files import atomic_dir, write_text
place = pathlib.Path({str(place)!r})
print("begun", flush=True)
for n in itertools.count():
    with atomic_dir(place / "out", mark="a") as folder:
        (folder / "a").write_text(str(n) * 1000)
        (folder / "b").write_text(str(n) * 1000)
    write_text(place / "file", str(n) * 1000)
"""


def _first(place: Path) -> None:
    with atomic_dir(place / "out") as folder:
        (folder / "a").write_text("old")
        (folder / "b").write_text("old")
    write_text(place / "file", "old")


@pytest.mark.parametrize(
    ("kills", "before"),
    [
        pytest.param(15, "", id="few"),
        pytest.param(15, _WITHOUT_EXCHANGE, id="few, without exchange"),
        pytest.param(200, "", id="many", marks=pytest.mark.slow),
    ],
)
def test_after_a_kill_there_is_the_old_or_the_new(tmp_path: Path, kills: int, before: str) -> None:
    _first(tmp_path)
    chance = random.Random(kills)
    for _ in range(kills):
        process = _python(_writer(tmp_path, before))
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        process.wait()
        process.stdout.close()
        if before:  # the next command that writes here puts it back
            partial._swept.clear()
            write_text(tmp_path / "next", "x")
        first, second = ((tmp_path / "out" / name).read_text() for name in ("a", "b"))
        assert first == second
        assert (tmp_path / "file").read_text()
    partial._swept.clear()
    write_text(tmp_path / "next", "x")
    assert {path.name for path in tmp_path.iterdir()} == {"out", "file", "next"}


def test_a_kill_between_two_renames_loses_nothing(tmp_path: Path) -> None:
    _first(tmp_path)
    code = f"""{_WITHOUT_EXCHANGE}
import os, pathlib
rename = pathlib.Path.rename
def once(self, target):
    rename(self, target)
    os._exit(9)
pathlib.Path.rename = once
from edge_seg.files import atomic_dir
with atomic_dir(pathlib.Path({str(tmp_path / "out")!r}), mark="a") as folder:
    (folder / "a").write_text("new")
"""
    assert _python(code).wait() == 9
    assert not (tmp_path / "out").exists()
    partial._swept.clear()
    write_text(tmp_path / "next", "x")
    assert (tmp_path / "out/b").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"out", "file", "next"}


def test_what_a_living_process_writes_stays_whatever_its_number(tmp_path: Path) -> None:
    """Another container's processes have numbers of their own: the lock counts, not the number."""
    code = f"""
import os, pathlib, time
os.getpid = lambda: 4194303  # a number that no process has
from edge_seg.files import atomic_dir, atomic_file
with atomic_dir(pathlib.Path({str(tmp_path / "out")!r})) as folder, atomic_file(pathlib.Path({str(tmp_path / "f")!r})):
    (folder / "half").touch()
    print("begun", flush=True)
    time.sleep(60)
"""
    process = _python(code)
    assert process.stdout is not None
    process.stdout.readline()
    write_text(tmp_path / "other", "x")
    held = [path for path in tmp_path.iterdir() if path.name.startswith(partial.MARK)]
    assert len(held) == 2
    process.kill()
    process.wait()
    process.stdout.close()
    partial._swept.clear()
    write_text(tmp_path / "other", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_what_is_discarded_goes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a/deep").mkdir(parents=True)
    (tmp_path / "a/deep/b").touch()

    def look(path: Path) -> None:
        assert not (tmp_path / "a").exists()
        remove(path)

    remove = partial.remove
    monkeypatch.setattr(partial, "remove", look)
    partial.discard(tmp_path / "a")
    partial.discard(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_that_fails_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refused)
    write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").read_text() == "x"


def test_a_file_system_without_locks_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(partial.fcntl, "flock", refused)
    left = tmp_path / f"{partial.MARK}a-{partial.HOST}-1-abcdef"
    left.mkdir()
    _first(tmp_path)
    assert (tmp_path / "out/a").read_text() == "old"
    assert left.is_dir()  # nobody can tell whether it is still being written


def test_names_of_any_length_and_script(tmp_path: Path) -> None:
    name = "箱" * 80
    write_text(tmp_path / name, "x")
    write_text(tmp_path / name, "y")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["y"]


def test_messages_show_the_final_name(tmp_path: Path) -> None:
    with atomic_dir(tmp_path / "my-out") as folder, atomic_file(folder / "a.json") as beside:
        beside.touch()
        assert final_name(str(beside)) == str(tmp_path / "my-out/a.json")
    assert final_name("/plain/path") == "/plain/path"


def test_a_second_writer_is_held_off_until_the_first_has_gone(tmp_path: Path) -> None:
    busy = files.UsageError("busy")
    with files.locked(tmp_path, busy), pytest.raises(files.UsageError, match="busy"), files.locked(tmp_path, busy):
        pytest.fail("two writers at once")
    with files.locked(tmp_path, busy):
        pass

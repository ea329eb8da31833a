"""Files that were hashed once aren't hashed again, as long as nothing has touched them."""

from __future__ import annotations

import json
import os
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge_seg.files import sha256
from tests.native.bundles import Lines, edit, native
from tests.native.running import of_kind

WORDS = ("--engine", "null", "--json", "--images", "grey.png", "--warmup", "0", "--repeat", "1")
NOTED, HASHED = "checked before", "checked"


@pytest.fixture
def version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as `edge-seg board deploy` makes it: a bundle, and what lies beside it; and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    place = folder / "versions" / "1f0c"
    place.mkdir(parents=True, mode=0o755)
    shutil.copytree(folder / "bundle", place / "bundle")
    return place


def note_of(version: Path) -> Path:
    return version.parents[1] / "cache" / "edge-seg" / "checked" / sha256(version / "bundle/manifest.json")


def start(command: list[str], version: Path, *words: str) -> tuple[int, Lines]:
    return native(command, "--bundle", str(version / "bundle"), *(words or WORDS))


def how(command: list[str], version: Path) -> Any:
    """How the files were checked, or the error's code."""
    code, lines = start(command, version)
    return of_kind(lines, "load")[0]["files"] if code == 0 else of_kind(lines, "error")[0]["code"]


def test_the_first_start_hashes_and_notes_it(local: list[str], version: Path) -> None:
    assert how(local, version) == HASHED
    assert note_of(version).stat().st_mode & 0o777 == 0o644
    assert how(local, version) == NOTED
    assert [path.name for path in version.iterdir()] == ["bundle"], "nothing is written beside a bundle"
    assert note_of(version).parent.stat().st_mode & 0o777 == 0o700


def test_a_self_test_always_hashes(local: list[str], version: Path) -> None:
    """As `edge-seg board deploy` and `rollback` run it; the starts after it don't."""
    for _ in range(2):
        code, lines = start(local, version, "--engine", "null", "--json", "--self-test")
        assert (code, of_kind(lines, "load")[0]["files"]) == (0, HASHED)
    assert how(local, version) == NOTED


def test_no_note_of_what_failed(local: list[str], version: Path) -> None:
    (version / "bundle/mask.nb").write_bytes(b"other")
    for _ in range(2):
        assert how(local, version) == "hash-mismatch"
    assert not note_of(version).exists()


def test_no_note_where_it_would_not_count(local: list[str], version: Path) -> None:
    note_of(version).parent.mkdir(parents=True)
    note_of(version).parent.chmod(0o777)
    for _ in range(2):
        assert how(local, version) == HASHED
    assert not note_of(version).exists()


def test_no_note_without_a_home(local: list[str], version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for _ in range(2):
        assert how(local, version) == HASHED


def altered(version: Path) -> None:
    """Another byte, with the old times: only the kernel sets the time of a change."""
    file = version / "bundle/mask.nb"
    status = file.stat()
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def exchanged(version: Path) -> None:
    file = version / "bundle/mask.nb"
    status = file.stat()
    other = version / "other"
    other.write_bytes(b"x" * status.st_size)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)


def golden(version: Path) -> None:
    (version / "bundle/golden/image.png").write_bytes(b"no image")


@pytest.mark.parametrize("change", [altered, exchanged, golden])
def test_what_was_changed_is_found(local: list[str], version: Path, change: Any) -> None:
    how(local, version)
    change(version)
    assert how(local, version) == "hash-mismatch"


def test_another_manifest_is_not_what_was_checked(local: list[str], version: Path) -> None:
    how(local, version)
    manifest = json.loads((version / "bundle/manifest.json").read_text())
    edit(
        version / "bundle",
        "graphs",
        "mask",
        "files",
        value=dict.fromkeys(manifest["graphs"]["mask"]["files"], "0" * 64),
    )
    assert how(local, version) == "hash-mismatch"


def test_a_stamp_that_others_could_have_written_is_none(local: list[str], version: Path) -> None:
    how(local, version)
    note_of(version).chmod(0o666)
    assert how(local, version) == HASHED
    note_of(version).chmod(0o644)
    assert how(local, version) == NOTED
    note_of(version).parent.chmod(0o777)
    assert how(local, version) == HASHED
    note_of(version).parent.chmod(0o755)
    note_of(version).rename(version / "elsewhere")
    note_of(version).symlink_to(version / "elsewhere")
    assert how(local, version) == HASHED


def test_a_copied_version_is_hashed(local: list[str], version: Path) -> None:
    how(local, version)
    version = version.rename(version.with_name("renamed"))
    assert how(local, version) == NOTED, "as a deployment renames it"
    shutil.copytree(version, version.with_name("copy"))
    assert how(local, version.with_name("copy")) == HASHED


def test_a_stamp_can_not_be_anything(local: list[str], version: Path) -> None:
    how(local, version)
    for content in (b"", b"edge-seg checked 1\n", os.urandom(5000), note_of(version).read_bytes() + b"\n"):
        note_of(version).write_bytes(content)
        assert how(local, version) == HASHED


@pytest.mark.slow
def test_a_start_costs_no_hashing(local: list[str], version: Path) -> None:
    model = version / "bundle/mask.nb"
    with model.open("wb") as file:
        file.truncate(150 << 20)
    edit(version / "bundle", "graphs", "mask", "files", value={"mask.nb": sha256(model)})
    how(local, version)

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert start(local, version)[0] == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    stamped = seconds()
    note_of(version).unlink()
    assert stamped < seconds() / 3

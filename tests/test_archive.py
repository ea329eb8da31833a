"""Archives that are damaged, or mean harm."""

from __future__ import annotations

import contextlib
import gzip
import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_seg import archive
from edge_seg.archive import only_folder, unpack
from edge_seg.errors import DataError

Make = Callable[..., Path]


def tar(path: Path, *entries: tarfile.TarInfo | str) -> Path:
    with tarfile.open(path, "w:gz") as tarred:
        for entry in entries:
            info = tarfile.TarInfo(entry) if isinstance(entry, str) else entry
            info.size = 5 if info.isfile() else 0
            tarred.addfile(info, io.BytesIO(b"hello"))
    return path


def zip_(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in names:
            zipped.writestr(name, "hello")
    return path


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("a/one", "a/b/two"), "a"),
        (("a/one", "__MACOSX/a/._one", "._a", ".DS_Store", "Thumbs.db"), "a"),
        (("a/one", "b/two"), "."),
        (("one",), "."),
        (("a/one", "two"), "."),
    ],
)
def test_the_one_folder_of_an_archive(tmp_path: Path, names: tuple[str, ...], found: str) -> None:
    content = unpack(zip_(tmp_path / "it.zip", *names), tmp_path / "out", DataError)
    assert only_folder(content) == content / found


@pytest.mark.parametrize("make", [tar, zip_])
def test_archives_are_unpacked(tmp_path: Path, make: Make) -> None:
    folder = unpack(make(tmp_path / "set.archive", "set/train.json", "./set/images/1.png"), tmp_path / "out", DataError)
    assert (folder / "set/train.json").read_text() == "hello"
    assert (folder / "set/images/1.png").read_text() == "hello"


def link(kind: bytes, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo("link")
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "entry",
    [
        "../outside",
        "set/../../outside",
        "/tmp/outside",
        link(tarfile.SYMTYPE, "/etc"),
        link(tarfile.LNKTYPE, "../outside"),
        link(tarfile.CHRTYPE, ""),
    ],
    ids=["up", "down and up", "absolute", "symbolic link", "hard link", "device"],
)
def test_a_tar_that_leads_out_of_the_folder_is_refused(tmp_path: Path, entry: tarfile.TarInfo | str) -> None:
    with pytest.raises(DataError, match="entry"):
        unpack(tar(tmp_path / "set.tar.gz", "good", entry), tmp_path / "in/out", DataError)
    assert list((tmp_path / "in").iterdir()) == []
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("name", ["../outside", "/outside", "..\\outside", "C:\\outside"])
def test_a_zip_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="leads out"):
        unpack(zip_(tmp_path / "set.zip", "good", name), tmp_path / "out", DataError)
    assert not (tmp_path / "out").exists()


def test_a_zip_with_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as zipped:
        zipped.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="link"):
        unpack(tmp_path / "set.zip", tmp_path / "out", DataError)


@pytest.mark.parametrize("make", [tar, zip_])
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_archive_is_refused(tmp_path: Path, make: Make, damage: str) -> None:
    file = make(tmp_path / "set.archive", *(f"set/{i}" for i in range(50)))
    whole = file.read_bytes()
    middle = len(whole) // 2
    file.write_bytes(
        {
            "cut": whole[:middle],
            "flipped": whole[:40] + bytes(b ^ 0x55 for b in whole[40:90]) + whole[90:],
            "empty": b"",
            "text": b"<html>not found</html>",
        }[damage]
    )
    with pytest.raises(DataError, match=r"set\.archive"):
        unpack(file, tmp_path / "out", DataError)
    assert not (tmp_path / "out").exists()


def test_no_altered_byte_of_a_zip_is_a_surprise(tmp_path: Path) -> None:
    whole = zip_(tmp_path / "set.zip", "a").read_bytes()
    for place in range(len(whole)):
        for value in (0, 0xFF):
            (tmp_path / "set.zip").write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            with contextlib.suppress(DataError):
                shutil.rmtree(unpack(tmp_path / "set.zip", tmp_path / "out", DataError))


def headers(path: Path, *blocks: bytes) -> Path:
    """A .tar.gz of hand-made header blocks."""
    with gzip.open(path, "wb") as file:
        file.write(b"".join(blocks) + bytes(1024))
    return path


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.fixture
def low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "ALWAYS_ALLOWED", 1 << 20)
    monkeypatch.setattr(archive, "MOST_RATIO", 20)


def zeros(path: Path, kind: str) -> Path:
    content = bytes(22 << 20)
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("zeros", content)
    else:
        with tarfile.open(path, f"w:{kind}") as tarred:  # type: ignore[call-overload]
            info = tarfile.TarInfo("zeros")
            info.size = len(content)
            tarred.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.usefixtures("low_limit")
@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip"])
def test_a_bomb_is_refused_and_nothing_stays(tmp_path: Path, kind: str) -> None:
    file = zeros(tmp_path / "bomb", kind)
    with pytest.raises(DataError, match=r"bomb: unpacks to far more than") as caught:
        unpack(file, tmp_path / "in/out", DataError)
    assert caught.value.code == "archive-refused"
    assert list((tmp_path / "in").iterdir()) == []


@pytest.mark.usefixtures("low_limit")
def test_a_million_empty_files_are_a_bomb_too(tmp_path: Path) -> None:
    file = headers(tmp_path / "bomb", *(header(f"{i % 100}", 0) for i in range(3000)))
    with pytest.raises(DataError, match="unpacks to far more"):
        unpack(file, tmp_path / "out", DataError)


@pytest.mark.usefixtures("low_limit")
def test_a_bomb_behind_the_end_is_refused(tmp_path: Path) -> None:
    file = headers(tmp_path / "bomb", header("good", 0), bytes(22 << 20))
    with pytest.raises(DataError, match="unpacks to far more"):
        unpack(file, tmp_path / "out", DataError)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [1 << 33, -512])
def test_a_header_of_any_length_is_not_read(tmp_path: Path, kind: bytes, size: int) -> None:
    file = headers(tmp_path / "bomb", header("long", size, kind), header("good", 0))
    with pytest.raises(DataError, match="bomb: not an archive"):
        unpack(file, tmp_path / "out", DataError)


def test_a_negative_size_does_not_lead_round_in_circles(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="entry circle"):
        unpack(headers(tmp_path / "a", header("good", 0), header("circle", -1024)), tmp_path / "out", DataError)


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    sparse = bytearray(header("sparse", 0, tarfile.GNUTYPE_SPARSE))
    with pytest.raises(DataError, match="sparse file"):
        unpack(headers(tmp_path / "a", bytes(sparse)), tmp_path / "out", DataError)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    bad = bytearray(header("lost", 0))
    bad[0] ^= 1
    with pytest.raises(DataError, match="damaged header"):
        unpack(headers(tmp_path / "a", header("good", 0), bytes(bad)), tmp_path / "out", DataError)


def test_the_checksum_at_the_very_end_counts(tmp_path: Path) -> None:
    file = tar(tmp_path / "a", "good")
    content = bytearray(file.read_bytes())
    content[-8] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match="CRC"):
        unpack(file, tmp_path / "out", DataError)


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    info = tarfile.TarInfo("zero")
    info.pax_headers = {"path": "a\0b"}
    for entries in ([info], ["n" * 5000], ["a", "a/b"], ["a/b", "a"], ["."]):
        with pytest.raises(DataError, match="/a: (not an archive|entry .+ can't be written|entry .+ lies)") as caught:
            unpack(tar(tmp_path / "a", *entries), tmp_path / "out", DataError)
        assert "partial" not in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_hostile_archive_of_deep_folders(tmp_path: Path) -> None:
    deep = tar(tmp_path / "deep.tgz", "/".join("d" * 3000))
    with pytest.raises(DataError, match="lies 3000 folders deep") as caught:
        unpack(deep, tmp_path / "in/out", DataError)
    assert caught.value.code == "archive-refused"
    assert list((tmp_path / "in").iterdir()) == []
    assert (unpack(tar(tmp_path / "ok.tgz", "a/" * 31 + "b"), tmp_path / "ok", DataError) / ("a/" * 31 + "b")).is_file()


def test_names_are_printed_without_control_sequences(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        unpack(tar(tmp_path / "a", "../\x1b[2Jout"), tmp_path / "out", DataError)
    assert "\\x1b[2Jout" in caught.value.message

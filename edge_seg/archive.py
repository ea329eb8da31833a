"""Archives: packing with the same bytes each time, and unpacking those of unknown origin.

Nothing lands outside the folder, and a small file can't fill disk or memory.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO, Any

from edge_seg import files, limits
from edge_seg.errors import EdgeSegError
from edge_seg.printable import printable
from edge_seg.words import counted

BLOCK = 1 << 18
LEVEL = 6
LONGEST_READ = 1 << 20
"""A tar's header may claim any length for a name; tarfile would read it into memory as a whole."""

ALWAYS_ALLOWED = 1 << 28
MOST_RATIO = 200
"""So many times its size an archive may unpack to: text shrinks to a tenth at best, a bomb to a thousandth."""

_ENTRY = 1 << 10  # what an entry costs besides its content: a million empty files are a bomb as well
_GZIP = b"\x1f\x8b"
_OPENERS: dict[bytes, Any] = {_GZIP: gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}

# What the libraries raise for damaged archives; a RuntimeError for an encrypted one, a ValueError for a zero in a name.
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    OverflowError,
    LookupError,
)
# Names too long, or of a file and a folder at once.
_BAD_NAMES = (errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EINVAL, errno.EILSEQ)


def pack(out: Path, entries: Iterable[tuple[str, Path | bytes, int]]) -> None:
    """Writes files as a ``.tar.gz``: each with its name, its content or where that lies, and its permissions.

    The same entries give the same bytes, whatever the files' times, owners and permissions are.
    """
    files.refuse_other_kind(out, _GZIP, "an archive")
    with (
        files.atomic_file(out) as partial,
        partial.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tarred,
    ):
        for name, content, mode in entries:
            entry = tarfile.TarInfo(name)  # time and owners are 0
            entry.mode = mode
            with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
                entry.size = file.seek(0, 2)
                file.seek(0)
                tarred.addfile(entry, file)


_LITTER = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"})
"""What file managers put beside a folder that they pack."""


def only_folder(unpacked: Path) -> Path:
    """The one folder of an archive, or the archive's whole content where it isn't in one folder."""
    inner = [path for path in unpacked.iterdir() if path.name not in _LITTER and not path.name.startswith("._")]
    return inner[0] if len(inner) == 1 and inner[0].is_dir() else unpacked


def unpack(archive: Path, folder: Path, error: type[EdgeSegError]) -> Path:
    """Unpacks a .zip or .tar(.gz, .bz2, .xz) as ``folder``, which appears only once all is there.

    Raises ``error`` when the archive is damaged, would take up far more room than it has itself, or an entry would land
    outside ``folder`` or is not a plain file or folder (links, devices: no data set or bundle needs them, and a link
    can lead anywhere).
    """
    with files.atomic_dir(folder) as partial:
        try:
            unpacking = _Unpacking(archive, partial, error)
            if zipfile.is_zipfile(archive):
                unpacking.zip()
            else:
                unpacking.tar()
        except (*_DAMAGED, OSError) as problem:
            # bz2 and gzip have an OSError without a number for damaged data, zipfile seeks to where no file can begin.
            if isinstance(problem, OSError) and problem.errno not in (None, errno.EINVAL):
                raise  # the disk's fault
            raise error(
                f"{archive}: not an archive that can be unpacked: {problem}",
                remedy="delete it, and download or copy it again",
                code="archive-damaged",
            ) from None
    return folder


class _Unpacking:
    """One archive on its way into ``folder``."""

    def __init__(self, archive: Path, folder: Path, error: type[EdgeSegError]) -> None:
        self.archive, self.folder, self.error = archive, folder, error
        self.size = archive.stat().st_size
        self.left = max(ALWAYS_ALLOWED, MOST_RATIO * self.size)

    def zip(self) -> None:
        with zipfile.ZipFile(self.archive) as zipped:
            for entry in zipped.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise self.refused(f"entry {printable(entry.filename, 80)} is a link or a device")
                self.write(entry.filename, None if entry.is_dir() else zipped.open(entry))

    def tar(self) -> None:
        with _open(self.archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tarred:
            for entry in tarred:
                # A negative size leads tarfile round in circles, a sparse file's may be anything.
                if not (entry.isfile() or entry.isdir()) or entry.issparse() or entry.size < 0:
                    raise self.refused(f"entry {printable(entry.name, 80)} is a link, a device or a sparse file")
                self.write(entry.name, None if entry.isdir() else tarred.extractfile(entry))
            # tarfile takes a damaged header for the archive's end, and never reads the checksum behind the real one.
            rest = stream.latest
            while rest:
                if rest.strip(b"\0"):
                    raise tarfile.ReadError("a damaged header")
                self.spend(len(rest))
                rest = stream.read(BLOCK)

    def write(self, name: str, content: IO[bytes] | None) -> None:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
            raise self.refused(f"entry {printable(name, 80)} leads out of the folder")
        depth, length = len(path.parts), len(name.encode(errors="surrogateescape"))
        if depth > limits.ARCHIVE_DEPTH or length > limits.ARCHIVE_NAME_BYTES:
            raise self.refused(
                f"entry {printable(name, 40)} lies {depth} folders deep in a name of {length} bytes, expected at most"
                f" {limits.ARCHIVE_DEPTH} and {limits.ARCHIVE_NAME_BYTES}"
            )
        self.spend(_ENTRY)
        target = self.folder / path
        try:
            if content is None:
                target.mkdir(parents=True, exist_ok=True)
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            with content, target.open("wb") as file:
                while block := content.read(BLOCK):
                    self.spend(len(block))
                    file.write(block)
        except OSError as problem:
            if problem.errno not in _BAD_NAMES:
                raise
            raise self.refused(f"entry {printable(name, 80)} can't be written: {problem.strerror}") from None

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise self.refused(f"unpacks to far more than a file of {counted(self.size, 'byte')} honestly holds")

    def refused(self, why: str) -> EdgeSegError:
        remedy = "don't use this archive, or unpack it by hand"
        return self.error(f"{self.archive}: {why}", remedy=remedy, code="archive-refused")


class _Stream(io.BufferedReader):
    """Refuses to read much at once, and remembers what was read last."""

    latest = b""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= LONGEST_READ:
            raise tarfile.ReadError(f"a header with a length of {size} bytes")
        self.latest = super().read(size)
        return self.latest


def _open(archive: Path) -> _Stream:
    with archive.open("rb") as file:
        start = file.read(8)
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), io.FileIO)
    return _Stream(opener(archive, "rb"))

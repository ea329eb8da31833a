"""Paddle Lite's official archives: fetched, compared with a hash that somebody vouches for, looked at, unpacked.

Addresses and hashes stand in ``paddle_lite.json`` beside this file. A hash that is null there isn't known: the command
then names the one that it found, and goes no further until that one is given back to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.archive import only_folder, unpack
from edge_seg.boards.elf import check_elf, read_elf
from edge_seg.boards.pack import LIGHT_LIBRARY
from edge_seg.data.download import fetch as download
from edge_seg.errors import DataError, EdgeSegError, UsageError
from edge_seg.files import atomic_dir, read_json, scratch_dir, sha256

FACTS = Path(__file__).with_name("paddle_lite.json")
HEADER, LIBRARY = "cxx/include/paddle_api.h", f"cxx/lib/{LIGHT_LIBRARY}"
NEEDED_OPERATOR = b"generate_proposals_v2"
"""It is among the extra kernels, without which the models can't run."""
_TAG = re.compile(rb"\0(v\d+\.\d+(?:\.\d+)?(?:-rc\d*)?)\0")


@dataclass(frozen=True)
class Fetched:
    """``folder`` is what PADDLE_LITE_DIR is to name; ``version`` is None where the library doesn't say it."""

    folder: Path
    arch: str
    sha256: str
    version: str | None

    @property
    def library(self) -> Path:
        return self.folder / LIBRARY

    def as_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "arch": self.arch,
            "sha256": self.sha256,
            "version": self.version,
            "library": str(self.library),
        }

    def __str__(self) -> str:
        version = self.version or "of a version that it doesn't name"
        return f"Paddle Lite {version} for {self.arch}: PADDLE_LITE_DIR={self.folder}"


def fetch(
    arch: str,
    folder: Path,
    *,
    fp16: bool = False,
    url: str | None = None,
    archive: Path | None = None,
    digest: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Fetched:
    """Fetches the archive for ``arch`` (or takes ``archive``, which is here already) and unpacks it in ``folder``.

    With ``fp16``, the one whose library computes in fp16. ``digest`` is the sha256 that the caller trusts. Raises
    EdgeSegError (code ``hash-unknown``) when neither it nor the facts' is known, DataError when the archive can't be
    had, is another than expected, or doesn't hold the library.
    """
    facts = read_json(FACTS, DataError)
    listed = facts["fp16" if fp16 else "archives"][arch]
    if listed["file"] is None and url is None and archive is None:
        raise UsageError(
            f"no archive with fp16 is published for {arch}",
            remedy="build Paddle Lite with fp16 yourself and name the archive with --archive, or use another recipe,"
            " such as arm-fp32",
            code="not-published",
        )
    address = url or facts["base"] + (listed["file"] or "")
    expected = digest or (listed["sha256"] if url is None and archive is None else None)
    if expected is not None and not re.fullmatch("[0-9a-fA-F]{64}", expected):
        raise UsageError(f"--sha256 {expected}: expected 64 hexadecimal digits")
    file = archive or _download(address, folder / (address.rpartition("/")[2] or "archive"), expected, progress)
    if not file.is_file():
        raise UsageError(f"{file}: no such file", remedy="give Paddle Lite's archive, or leave --archive out")
    found = sha256(file)
    if expected is None:
        raise EdgeSegError(
            f"{file}: nobody has vouched for this file yet; its sha256 is {found}",
            remedy="compare it with what the publisher names, or with a file from another way; if you trust it, give"
            f" the same command again with --sha256 {found}",
            code="hash-unknown",
        )
    if found != expected.lower():
        raise DataError(
            f"{file}: the file has sha256 {found}, expected {expected.lower()}",
            remedy="it was altered, or damaged on the way: delete it and try again",
            code="hash-mismatch",
        )
    place = folder / (f"{arch}-fp16" if fp16 else arch)
    version = _unpack(file, place, arch, fp16)
    return Fetched(place.resolve(), arch, found, version)


def _download(
    address: str, file: Path, expected: str | None, progress: Callable[[int, int | None], None] | None
) -> Path:
    try:
        return download(address, file, expected, progress=progress)
    except DataError as problem:
        if expected is not None and expected.lower() in problem.message:
            raise  # it could be had, but is another file
        raise DataError(
            problem.message,
            remedy="where this machine can't reach it: download it elsewhere and name it with --archive, or name a"
            " mirror with --url; or build Paddle Lite from its sources (its tag is in paddle_lite.json, and it needs"
            " its extra kernels), and give PADDLE_LITE_DIR the folder",
            code=problem.code,
        ) from None


def _unpack(file: Path, folder: Path, arch: str, fp16: bool) -> str | None:
    with atomic_dir(folder, mark=HEADER) as whole, scratch_dir(folder) as scratch:
        content = unpack(file, scratch / "content", DataError)
        root = content if (content / "cxx").is_dir() else only_folder(content)
        version = _look(file, root, arch, fp16)
        for entry in root.iterdir():
            entry.rename(whole / entry.name)
    return version


def _look(file: Path, root: Path, arch: str, fp16: bool) -> str | None:
    """The library's version. Raises DataError when it isn't what a runner for ``arch`` is built with."""
    remedy = "take the archive with the arch's name and `with_extra` in its own"
    for name in (HEADER, LIBRARY):
        if not (root / name).is_file():
            raise DataError(f"{file}: holds no {name}", remedy=remedy, code="archive-other")
    elf = read_elf(root / LIBRARY)
    if elf is None:
        raise DataError(f"{file}: {LIBRARY} is no library", remedy=remedy, code="archive-other")
    check_elf(Path(f"{file}: {LIBRARY}"), elf, arch)
    if NEEDED_OPERATOR not in elf.content:
        raise DataError(
            f"{file}: its library has no kernel for {NEEDED_OPERATOR.decode()}, which the models need",
            remedy=remedy,
            code="archive-other",
        )
    if fp16 and "fp16" not in elf.abilities:
        raise DataError(
            f"{file}: its library wasn't built with fp16",
            remedy="take the archive with `arm82_fp16` in its name, or leave --fp16 out",
            code="archive-other",
        )
    tag = _TAG.search(elf.content)
    # As Python's packages write versions: v2.13-rc is 2.13rc0.
    return re.sub(r"rc$", "rc0", tag[1].decode().lstrip("v").replace("-rc", "rc")) if tag else None

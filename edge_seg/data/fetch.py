"""Fetches a data set's archive by name or address, checks it, and unpacks it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from edge_seg.archive import only_folder, unpack
from edge_seg.data.download import Progress, fetch
from edge_seg.data.layout import find_single, has_split
from edge_seg.errors import DataError, UsageError
from edge_seg.files import check_replaceable, scratch_dir, sha256

MIRROR = "EDGE_SEG_DATA_MIRROR"
"""An address; what is fetched by name comes from there instead of its own server."""


@dataclass(frozen=True)
class Known:
    """A data set that has a name: its address, and its checksum where that is known."""

    url: str
    told: str
    sha256: str | None = None


KNOWN = {
    "xiaoduxiong": Known(
        "https://bj.bcebos.com/paddlex/datasets/xiaoduxiong_ins_det.tar.gz",
        "the tutorials' set: toy bears, 14 images to train on, 4 to validate on",
    ),
}


def address(what: str, mirror: str | None) -> tuple[str, str | None]:
    """The address and checksum of a known name or an address. Raises :class:`UsageError` for another word."""
    if what.startswith(("http://", "https://")):
        return what, None
    if what not in KNOWN:
        raise UsageError(
            f"{what}: neither a data set with a name nor an address", remedy=f"names are {', '.join(KNOWN)}"
        )
    known = KNOWN[what]
    mirror = mirror or os.environ.get(MIRROR)
    if mirror:
        return f"{mirror.rstrip('/')}/{PurePosixPath(urlsplit(known.url).path).name}", known.sha256
    return known.url, known.sha256


def fetch_dataset(
    what: str,
    out: Path,
    *,
    checksum: str | None = None,
    mirror: str | None = None,
    progress: Progress | None = None,
) -> tuple[Path, str]:
    """Fetches ``what`` and unpacks it as the new folder ``out``; returns the folder with the data set, and its SHA-256.

    Proxies are taken from ``http_proxy``, ``https_proxy`` and ``no_proxy``. A download that broke off is gone on with
    by the next call. Raises :class:`DataError` when it can't be had, has another checksum, or can't be unpacked safely.
    """
    url, known = address(what, mirror)
    check_replaceable(out.resolve(), None)
    name = PurePosixPath(urlsplit(url).path).name or "download"
    archive = out.with_name(f"{out.name}.{name}")
    fetch(url, archive, checksum or known, progress=progress)
    digest = sha256(archive)
    with scratch_dir(out) as scratch:
        try:
            unpacked = unpack(archive, scratch / "set", DataError)
        except DataError:
            archive.unlink()  # it would be refused again
            raise
        # An archive usually holds one folder; its content is what was asked for.
        source = only_folder(unpacked)
        if out.exists():
            out.rmdir()
        source.rename(out)
    archive.unlink()
    return find_dataset(out), digest


def find_dataset(folder: Path) -> Path:
    """The folder in or below ``folder`` that holds a data set; ``folder`` itself where none is found."""
    below = sorted(path for path in folder.rglob("*") if path.is_dir() and not path.name.startswith("."))
    for place in (folder, *below):
        if has_split(place):
            return place
    return next((place for place in (folder, *below) if find_single(place) is not None), folder)

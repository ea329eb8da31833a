"""A bundle as one file, the same bytes for the same bundle, and back.

The bytes depend on nothing but the bundle and zlib: names are sorted, and times, owners and permissions left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from edge_seg.archive import only_folder
from edge_seg.archive import pack as write_archive
from edge_seg.archive import unpack as unpack_archive
from edge_seg.bundle import MANIFEST, Bundle, own_files
from edge_seg.bundles.check import open_sound
from edge_seg.bundles.text import megabytes
from edge_seg.errors import BundleError, ImageError
from edge_seg.files import atomic_dir, refuse_overwriting, scratch_dir, sha256
from edge_seg.signature import SIGNATURE, read_signature


@dataclass(frozen=True)
class Packed:
    """The file that was written, and what is in it."""

    file: Path
    id: str
    bytes: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        return {"file": str(self.file), "id": self.id, "bytes": self.bytes, "sha256": self.sha256}

    def __str__(self) -> str:
        return f"{self.file}  {megabytes(self.bytes)}, sha256 {self.sha256}"


def pack(path: Path, out: Path) -> Packed:
    """Writes a bundle as a ``.tar.gz`` with one folder in it; the signature goes along, nothing else does.

    Raises UsageError when ``out`` lies in the bundle, and whatever :func:`edge_seg.bundles.check.check` finds.
    """
    bundle = open_sound(path)
    refuse_overwriting(out, [path])
    write_archive(out, [(f"{folder_name(bundle)}/{name}", bundle.path / name, 0o644) for name in members(bundle)])
    return Packed(out, bundle.id, out.stat().st_size, sha256(out))


def unpack(archive: Path, out: Path, public_key: Path | None = None) -> Bundle:
    """Unpacks and checks a packed bundle; ``out`` appears only if it is whole, replacing an older bundle there.

    What doesn't belong to the bundle is left out. With ``public_key`` it must be signed with that key. Raises
    BundleError when it is damaged, altered or not a bundle.
    """
    with atomic_dir(out, ours=own_files) as whole, scratch_dir(out) as scratch:
        folder = only_folder(unpack_archive(archive, scratch / "content", BundleError))
        try:
            found = open_sound(folder, public_key)
            names = members(found)
        except (BundleError, ImageError) as problem:
            message = problem.message.replace(str(folder), str(archive))
            raise BundleError(message, remedy=problem.remedy, code=problem.code) from None
        for name in names:
            (whole / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).rename(whole / name)
    return Bundle(out, found.manifest)


def members(bundle: Bundle) -> list[str]:
    """The names of all that belongs to the bundle, each once ("a//b" is "a/b"), sorted."""
    signature = [SIGNATURE] if read_signature(bundle.path / SIGNATURE) else []
    return sorted({str(PurePosixPath(name)) for name in (MANIFEST, *bundle.files, *signature)})


def folder_name(bundle: Bundle) -> str:
    """The archive's one folder: the bundle's name as far as every system takes it; the path must not matter."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", bundle.manifest.name)[:100].lstrip(".-") or "bundle"

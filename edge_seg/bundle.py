"""The bundle: a folder that holds everything a device needs to run a model, and says what it is.

``manifest.json`` is the only contract between conversion, runtime and benchmark. This module reads, checks and writes
it; it needs neither paddle nor OpenCV.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.errors import BundleError
from edge_seg.files import read_json, sha256, write_json
from edge_seg.manifest import SCHEMA, Manifest, check_values, invalid
from edge_seg.plain import SHORT, from_plain
from edge_seg.signature import SIGNATURE, check_made, read_signature
from edge_seg.words import counted

MANIFEST = "manifest.json"
# File names that a manifest may hold: `golden/image.png`, nothing that any system reads otherwise.
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,200}")
_SHOWN = 20  # bundles of a folder that a message names


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose manifest was read and, by :func:`open_bundle`, whose files were checked."""

    path: Path
    manifest: Manifest

    @property
    def files(self) -> dict[str, str]:
        """Every file that the manifest names, and its sha256."""
        listed = [*(graph.files for graph in self.manifest.graphs.values()), self.manifest.golden.files]
        return {name: digest for files in listed for name, digest in files.items()}

    @property
    def model_bytes(self) -> int:
        """Size of all graph files, bytes."""
        return sum((self.path / name).stat().st_size for graph in self.manifest.graphs.values() for name in graph.files)

    @property
    def id(self) -> str:
        """sha256 of the manifest, which in turn holds the hash of every other file."""
        return sha256(self.path / MANIFEST)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes ``folder``'s manifest; the same manifest gives the same bytes."""
    write_json(folder / MANIFEST, as_plain(manifest))


def as_plain(manifest: Manifest) -> dict[str, Any]:
    """What ``manifest.json`` holds, as JSON values; no version 0, which readers of before don't know."""
    plain = dataclasses.asdict(manifest)
    if not manifest.version:
        del plain["version"]
    return plain


def open_bundle(path: Path) -> Bundle:
    """Reads a bundle's manifest and checks every file's hash, before any library sees them.

    Raises :class:`BundleError` when the folder or a file is missing, a hash doesn't match, the schema isn't ours or a
    signature is wrong.
    """
    bundle = _read(path)
    check_files(bundle)
    check_signed(bundle)
    return bundle


def check_files(bundle: Bundle) -> None:
    """Raises :class:`BundleError` for the first file of the bundle that is missing or has another hash."""
    for _, fault in _faults(bundle):
        raise fault


def examine_bundle(path: Path) -> tuple[Bundle, dict[str, BundleError]]:
    """Like :func:`open_bundle`, but goes on past files that are missing or altered, and returns their faults by name.

    Raises :class:`BundleError` when the manifest itself can't be used.
    """
    bundle = _read(path)
    return bundle, dict(_faults(bundle))


def bundles_in(folder: Path) -> list[Path]:
    """The bundles that lie in ``folder`` (not below), by name; empty where it can't be read."""
    try:
        return sorted(path for path in folder.iterdir() if (path / MANIFEST).is_file())
    except OSError:
        return []


def own_files(folder: Path) -> set[str]:
    """Names of the files in ``folder`` that belong to a bundle there, however damaged; empty when there is none."""
    try:
        plain = read_json(folder / MANIFEST, BundleError)
        listed = [*(graph["files"] for graph in plain["graphs"].values()), plain["golden"]["files"]]
        return {MANIFEST, SIGNATURE, *(name for files in listed for name in files)}
    except (BundleError, KeyError, TypeError, AttributeError):
        return set()


def _read(path: Path) -> Bundle:
    """The bundle with its manifest checked, its files not."""
    remedy = "give the folder that `edge-seg convert --out` made"
    if not path.exists():
        raise BundleError(f"{path}: no such bundle", remedy=remedy, code="bundle-missing")
    if not path.is_dir():
        remedy += "; `edge-seg bundle unpack` makes it from a packed one"
        raise BundleError(f"{path}: a file, not a bundle folder", remedy=remedy, code="bundle-missing")
    file = path / MANIFEST
    if not file.is_file():
        if inside := bundles_in(path):
            shown = ", ".join(map(str, inside[:_SHOWN])) + (", …" if len(inside) > _SHOWN else "")
            raise BundleError(
                f"{path}: a folder of bundles, not a bundle",
                remedy=f"give one of them: {shown}",
                code="bundle-missing",
            )
        raise BundleError(f"{path}: not a bundle: it holds no {MANIFEST}", remedy=remedy, code="bundle-missing")
    try:
        plain = read_json(file, BundleError)
    except BundleError as problem:
        raise invalid(problem.message) from None
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if type(schema) is not int or schema != SCHEMA:
        raise BundleError(
            f"{file}: manifest schema {SHORT.repr(schema)}, expected {SCHEMA}",
            remedy="convert the model again with this version of edge-seg, or use the version that made the bundle",
            code="manifest-schema",
        )
    manifest = from_plain(Manifest, plain, f"{file}: manifest", invalid)
    check_values(manifest, f"{file}: manifest")
    return Bundle(path, manifest)


def _faults(bundle: Bundle) -> Iterator[tuple[str, BundleError]]:
    for name, expected in bundle.files.items():
        try:
            _check_file(bundle.path, name, expected)
        except BundleError as fault:
            yield name, fault


def check_signed(bundle: Bundle) -> None:
    """Raises :class:`BundleError` when the bundle holds a signature that is wrong.

    Who signed it is for :mod:`edge_seg.trust` to judge.
    """
    signature = read_signature(bundle.path / SIGNATURE)
    if signature is not None:
        check_made(signature, (bundle.path / MANIFEST).read_bytes(), bundle.path)


def _check_file(folder: Path, name: str, expected: str) -> None:
    file = folder / name
    if not _stays_inside(folder, name):
        raise invalid(f"{folder / MANIFEST}: file name {name!r} leads out of the bundle")
    remedy = "copy the bundle again or convert anew"
    if not file.is_file():
        what = "not a plain file" if os.path.lexists(file) else "missing"
        raise BundleError(f"{file}: {what}", remedy=remedy, code="file-missing")
    try:
        found = sha256(file)
    except OSError as problem:
        raise BundleError(f"{file}: can't be read: {problem.strerror}", remedy=remedy, code="file-missing") from None
    if found != expected:
        raise BundleError(
            f"{file}: altered or damaged ({counted(file.stat().st_size, 'byte')}, sha256 {found[:12]}…, "
            f"expected {expected[:12]}…)",
            remedy=remedy,
            code="hash-mismatch",
        )


def _stays_inside(folder: Path, name: str) -> bool:
    """Whether ``name`` is a plain relative path, and no symbolic link on its way leads elsewhere."""
    if not PLAIN_NAME.fullmatch(name) or ".." in name.split("/"):
        return False
    try:
        return (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links that go round in circles
        return False

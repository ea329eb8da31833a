"""Which keys this machine trusts, and what that means for a bundle that it is about to run.

A wrong signature is refused wherever a bundle is opened. With trusted keys, named by ``--public-key`` or in one of
:func:`folders`, an unsigned bundle and one that is signed with another key are refused as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from edge_seg.bundle import MANIFEST, Bundle, open_bundle
from edge_seg.errors import BundleError, EdgeSegError, UsageError
from edge_seg.signature import (
    SIGNATURE,
    Signature,
    archive_message,
    check_made,
    read_public_keys,
    read_signature,
    signature_beside,
)

SYSTEM = Path("/etc/edge-seg/trusted-keys")
_SUFFIX = ".pub"


@dataclass(frozen=True)
class Trust:
    """Whether and by whom a bundle or an archive was signed. ``trusted`` is the file with the key, if it is known."""

    signature: Signature | None
    trusted: Path | None = None

    def __str__(self) -> str:
        if self.signature is None:
            return "not signed"
        if self.trusted is None:
            return f"signed, key unknown: {self.signature.public_key[:16]}…"
        return f"signed with the key in {self.trusted}"


def folders() -> list[Path]:
    """Where trusted keys lie, one or more in each file ``NAME.pub``: the user's folder and the system's."""
    configuration = os.environ.get("XDG_CONFIG_HOME", "")
    home = os.environ.get("HOME", "")
    if not os.path.isabs(configuration):
        configuration = os.path.join(home, ".config") if os.path.isabs(home) else ""
    user = [Path(configuration, "edge-seg", "trusted-keys")] if configuration else []
    return [*user, SYSTEM]


def trusted_keys(public_key: Path | None = None) -> dict[str, Path]:
    """The trusted keys, and the file of each: those in ``public_key``, if given, else those in :func:`folders`.

    Raises UsageError for a folder that can't be read and for a file that holds no key: neither must let anything pass.
    """
    files = [public_key] if public_key is not None else [file for folder in folders() for file in _key_files(folder)]
    return {key: file for file in reversed(files) for key in read_public_keys(file)}


def _key_files(folder: Path) -> list[Path]:
    try:
        return sorted(folder / name for name in os.listdir(folder) if name.endswith(_SUFFIX))
    except OSError as problem:
        # A link to nowhere, or a file in its place, was meant to be a folder with keys.
        if isinstance(problem, FileNotFoundError | NotADirectoryError) and not os.path.lexists(folder):
            return []
        raise UsageError(
            f"{folder}: can't be read: {problem.strerror}",
            remedy="make it a readable folder, or remove it to trust no keys in particular",
            code="key-invalid",
        ) from None


def require_trusted(bundle: Bundle, public_key: Path | None = None) -> Trust:
    """What the bundle's signature is worth here.

    Raises :class:`BundleError` with the code ``signature-invalid`` for a wrong signature, and, where there are trusted
    keys, ``unsigned`` or ``wrong-key``.
    """
    signature = read_signature(bundle.path / SIGNATURE)
    if signature is not None:
        check_made(signature, (bundle.path / MANIFEST).read_bytes(), bundle.path)
    return _judge(signature, bundle.path, trusted_keys(public_key))


def require_trusted_archive(archive: Path, public_key: Path | None = None) -> Trust:
    """As :func:`require_trusted`, of an archive that was packed for a board, with its runner and library."""
    signature = read_signature(signature_beside(archive))
    if signature is not None:
        check_made(signature, archive_message(archive), archive)
    return _judge(signature, archive, trusted_keys(public_key))


def _judge(signature: Signature | None, what: Path, keys: dict[str, Path]) -> Trust:
    if not keys:
        return Trust(signature)
    named = ", ".join(map(str, dict.fromkeys(keys.values())))
    if signature is None:
        raise BundleError(
            f"{what}: not signed, and only what is signed with a trusted key may run here ({named})",
            remedy="ask its maker for a signed one, or sign it yourself with `edge-seg bundle sign`",
            code="unsigned",
        )
    if signature.public_key not in keys:
        raise BundleError(
            f"{what}: signed with the key {signature.public_key[:16]}…, expected one that is trusted here ({named})",
            remedy="somebody else signed it: if you trust them, name their public key with --public-key",
            code="wrong-key",
        )
    return Trust(signature, keys[signature.public_key])


def tell_trust(bundle: Bundle, public_key: Path | None = None) -> None:
    """:func:`require_trusted` for a command that runs the bundle: says on stderr what the signature is worth."""
    trust = require_trusted(bundle, public_key)
    if trust.signature is not None:
        click.echo(f"{bundle.path}: {trust}", err=True)


def tell_trust_of(paths: Iterable[Path], public_key: Path | None = None) -> None:
    """:func:`tell_trust` for several folders; what can't be opened at all is left to whoever opens it next."""
    for path in paths:
        try:
            bundle = open_bundle(path)
        except (EdgeSegError, OSError):
            continue
        tell_trust(bundle, public_key)


def tell_trust_of_archive(archive: Path, unpacked: Path, public_key: Path | None = None) -> None:
    """:func:`require_trusted_archive` for a command that deploys it: says on stderr what the signature is worth.

    The bundle in it lies in ``unpacked``; a signature of its own that is wrong is refused as well.
    """
    trust = require_trusted_archive(archive, public_key)
    signature = read_signature(unpacked / SIGNATURE)
    if signature is not None:
        check_made(signature, (unpacked / MANIFEST).read_bytes(), archive)
    if trust.signature is not None:
        click.echo(f"{archive}: {trust}", err=True)


def refuse_older(what: Path | str, version: int, version_there: int | None, allowed: bool = False) -> None:
    """Raises :class:`BundleError` when ``what`` is older than the bundle that it is to replace, unless that is allowed.

    The versions are those of the manifests; ``version_there`` is None where no bundle runs now.
    """
    if version_there is not None and version < version_there and not allowed:
        raise BundleError(
            f"{what}: version {version}, older than version {version_there}, which runs there now",
            remedy="deploy a newer one; where the older one is what you want, say so with --allow-older",
            code="older-version",
        )

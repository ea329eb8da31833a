"""Signatures: who made a bundle, or the archive that was packed for a board.

``signature.json`` beside a manifest is an ed25519 signature of the manifest's bytes (openssl alone can verify it); the
manifest holds the hash of every other file. ``FILE.signature.json`` beside an archive is one of
:func:`archive_message`. Public keys are PEM files as openssl writes them. Nothing here needs a library.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from dataclasses import dataclass
from pathlib import Path

from edge_seg import limits
from edge_seg.errors import BundleError, UsageError
from edge_seg.files import read_json, read_limited, sha256
from edge_seg.plain import from_plain

SIGNATURE = "signature.json"
ALGORITHM = "ed25519"
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]{20,200}?)\s*-----END PUBLIC KEY-----")
_DER = bytes.fromhex("302a300506032b6570032100")  # what stands before the 32 bytes of an ed25519 key


@dataclass(frozen=True)
class Signature:
    """What ``signature.json`` holds; numbers as hexadecimal digits, 64 of the key and 128 of the signature.

    ``manifest_sha256`` is for readers that verify no signatures; those of older versions hold none.
    """

    algorithm: str
    public_key: str
    signature: str
    manifest_sha256: str | None = None


def read_signature(file: Path) -> Signature | None:
    """The signature in ``file``, None when there is no such file. Raises :class:`BundleError` for one that isn't one.

    It is only read: :func:`check_made` says whether it is right.
    """
    if not os.path.lexists(file):
        return None
    if file.is_symlink() or not file.is_file():
        raise invalid(f"{file}: not a plain file")
    found = from_plain(Signature, _read(file), f"{file}: signature", invalid)
    if found.algorithm != ALGORITHM:
        raise invalid(f"{file}: signature.algorithm: expected {ALGORITHM}, found {found.algorithm[:40]!r}")
    for name, value, digits in (("public_key", found.public_key, 64), ("signature", found.signature, 128)):
        if not re.fullmatch(f"[0-9a-f]{{{digits}}}", value):
            raise invalid(f"{file}: signature.{name}: expected {digits} hexadecimal digits, found {value[:40]!r}")
    return found


def _read(file: Path) -> object:
    try:
        plain: object = read_json(file, BundleError, limits.TEXT_FILE_BYTES)
        return plain
    except BundleError as problem:
        raise invalid(problem.message) from None


def check_made(signature: Signature, message: bytes, what: Path) -> None:
    """Raises :class:`BundleError` unless the key that the signature names signed ``message``, which is of ``what``."""
    key, made = bytes.fromhex(signature.public_key), bytes.fromhex(signature.signature)
    if not _verify(key, message, made):
        raise invalid(f"{what}: not what was signed, or not with the key that its {SIGNATURE} names")


def _verify(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        from edge_seg.ed25519 import verify

        return verify(key, message, signature)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def read_public_keys(file: Path) -> list[str]:
    """The ed25519 keys of a PEM file, 64 hexadecimal digits each; :class:`UsageError` when it holds none, or others."""
    blocks = _PEM.findall(read_limited(file, UsageError, limits.TEXT_FILE_BYTES, "public key"))
    keys = []
    for block in blocks:
        try:
            der = base64.b64decode(b"".join(block.split()), validate=True)
        except binascii.Error:
            der = b""
        if not der.startswith(_DER) or len(der) != len(_DER) + 32:
            raise bad_key(file, "public", "a key of another kind")
        keys.append(der[len(_DER) :].hex())
    if not keys:
        raise bad_key(file, "public", "none")
    return keys


def signature_beside(archive: Path) -> Path:
    """Where the signature of an archive lies."""
    return archive.with_name(f"{archive.name}.{SIGNATURE}")


def archive_message(archive: Path) -> bytes:
    """What is signed of an archive: its SHA-256 in words, which no manifest can be."""
    return f"edge-seg archive, sha256 {sha256(archive)}\n".encode()


def bad_key(file: Path, kind: str, found: str) -> UsageError:
    """The error for a file that holds no key of that kind, "public" or "private"."""
    which = "the file that was named there" if kind == "private" else "its .pub file"
    return UsageError(
        f"{file}: expected a {kind} {ALGORITHM} key in PEM form, found {found}",
        remedy=f"make a pair of keys with `edge-seg bundle keygen` and give {which}",
        code="key-invalid",
    )


def invalid(message: str) -> BundleError:
    """The error for a signature that is wrong or none."""
    remedy = "don't trust this bundle: get it again from its maker; if it is yours, sign it again"
    return BundleError(message, remedy=remedy, code="signature-invalid")

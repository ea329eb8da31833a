"""Who made a bundle: an ed25519 signature of its manifest, which holds the hash of every other file.

``signature.json`` lies beside the manifest and is not named by it. Keys are PEM files as ``openssl genpkey -algorithm
ed25519`` writes them, and what is signed are the manifest's bytes as they are, so openssl alone can verify them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_seg.bundle import MANIFEST, SIGNATURE, Bundle
from edge_seg.errors import BundleError, UsageError
from edge_seg.files import atomic_file, read_json, write_json
from edge_seg.plain import from_plain

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALGORITHM = "ed25519"


@dataclass(frozen=True)
class Signature:
    """What ``signature.json`` holds; numbers as hexadecimal digits, 64 of the key and 128 of the signature.

    ``manifest_sha256`` is for those who can't verify the signature; those of older versions hold none.
    """

    algorithm: str
    public_key: str
    signature: str
    manifest_sha256: str | None = None


def keygen(private: Path) -> Path:
    """Writes a new key to ``private``, for its owner's eyes only, and the public one to ``private`` + ``.pub``.

    Returns the latter. Raises :class:`UsageError` when one of the files exists: a key that is lost can't be had again.
    """
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = private.with_name(private.name + ".pub")
    for file in (private, public):
        if os.path.lexists(file):
            raise UsageError(f"{file}: exists, and won't be replaced", remedy="use another name", code="exists")
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    with atomic_file(private) as partial:
        partial.touch(mode=0o600)
        partial.write_bytes(pem)
    with atomic_file(public) as partial:
        partial.write_bytes(key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo))
    return public


def sign(bundle: Bundle, key_file: Path) -> Signature:
    """Signs the manifest with the private key in ``key_file``; replaces an older signature."""
    key = _private_key(key_file)
    content = (bundle.path / MANIFEST).read_bytes()
    public = key.public_key().public_bytes_raw().hex()
    signature = Signature(ALGORITHM, public, key.sign(content).hex(), bundle.id)
    write_json(bundle.path / SIGNATURE, asdict(signature))
    return signature


def read_signature(bundle: Bundle) -> Signature | None:
    """The bundle's signature, None when it has none. Raises :class:`BundleError` for a file that isn't one.

    It is only read: :func:`verify` says what it is worth.
    """
    file = bundle.path / SIGNATURE
    if not os.path.lexists(file):
        return None
    if file.is_symlink() or not file.is_file():
        raise _invalid(f"{file}: not a plain file")
    try:
        plain = read_json(file, BundleError)
    except BundleError as problem:
        raise _invalid(problem.message) from None
    found = from_plain(Signature, plain, f"{file}: signature", _invalid)
    if found.algorithm != ALGORITHM:
        raise _invalid(f"{file}: signature.algorithm: expected {ALGORITHM}, found {found.algorithm[:40]!r}")
    for name, value, digits in (("public_key", found.public_key, 64), ("signature", found.signature, 128)):
        if not re.fullmatch(f"[0-9a-f]{{{digits}}}", value):
            raise _invalid(f"{file}: signature.{name}: expected {digits} hexadecimal digits, found {value[:40]!r}")
    return found


def verify(bundle: Bundle, public_key: Path | None = None) -> Signature:
    """Checks that the key that the signature names has signed this manifest, and that it is ``public_key``, if given.

    Raises :class:`BundleError` with the code ``unsigned``, ``wrong-key`` or ``signature-invalid``.
    """
    wanted = _public_key(public_key) if public_key else None
    signature = read_signature(bundle)
    if signature is None:
        raise BundleError(
            f"{bundle.path}: not signed", remedy="ask its maker for a signed one, or sign it yourself", code="unsigned"
        )
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    found = signature.public_key
    if wanted is not None and found != (expected := wanted.public_bytes_raw().hex()):
        raise BundleError(
            f"{bundle.path}: signed with the key {found[:16]}…, expected {expected[:16]}… ({public_key})",
            remedy="somebody else signed it: use it only if you trust them, with their public key",
            code="wrong-key",
        )
    try:
        key = wanted or Ed25519PublicKey.from_public_bytes(bytes.fromhex(found))
        key.verify(bytes.fromhex(signature.signature), (bundle.path / MANIFEST).read_bytes())
    except InvalidSignature:
        raise _invalid(f"{bundle.path}: the manifest isn't the one that was signed ({SIGNATURE})") from None
    return signature


def _public_key(file: Path) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = _load(load_pem_public_key, file, "public")
    if not isinstance(key, Ed25519PublicKey):
        raise _bad_key(file, "public", "a key of another kind")
    return key


def _private_key(file: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = _load(lambda content: load_pem_private_key(content, password=None), file, "private")
    if not isinstance(key, Ed25519PrivateKey):
        raise _bad_key(file, "private", "a key of another kind")
    return key


def _load(parse: Callable[[bytes], Any], file: Path, kind: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    content = file.read_bytes()
    try:
        return parse(content)
    except TypeError:
        raise _bad_key(file, kind, "a key with a passphrase, which can't be asked for here") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _bad_key(file, kind, "none") from None


def _bad_key(file: Path, kind: str, found: str) -> UsageError:
    which = "the file that was named there" if kind == "private" else "its .pub file"
    return UsageError(
        f"{file}: expected a {kind} {ALGORITHM} key in PEM form, found {found}",
        remedy=f"make a pair of keys with `edge-seg bundle keygen` and give {which}",
        code="key-invalid",
    )


def _invalid(message: str) -> BundleError:
    remedy = "don't trust this bundle: get it again from its maker; if it is yours, sign it again"
    return BundleError(message, remedy=remedy, code="signature-invalid")

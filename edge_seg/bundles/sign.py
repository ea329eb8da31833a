"""Makes keys and signatures; :mod:`edge_seg.signature` says what they are. It needs the library cryptography."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_seg import limits
from edge_seg.bundle import MANIFEST, Bundle, write_manifest
from edge_seg.errors import UsageError
from edge_seg.files import atomic_file, changed_dir, read_limited, sha256, write_json
from edge_seg.signature import ALGORITHM, SIGNATURE, Signature, archive_message, bad_key, signature_beside

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def keygen(private: Path) -> Path:
    """Writes a new key to ``private``, for its owner's eyes only, and the public one to ``private`` + ``.pub``.

    Returns the latter. A private key whose public one is missing, as after a crash between the two, gets it. Raises
    :class:`UsageError` when anything else exists: a key that is lost can't be had again.
    """
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = private.with_name(private.name + ".pub")
    if os.path.lexists(public):
        raise _exists(public)
    if os.path.lexists(private):
        try:
            key = _private_key(private)
        except UsageError:
            raise _exists(private) from None
    else:
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        with atomic_file(private) as partial:
            partial.touch(mode=0o600)
            partial.write_bytes(pem)
    with atomic_file(public) as partial:
        partial.write_bytes(key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo))
    return public


def _exists(file: Path) -> UsageError:
    return UsageError(f"{file}: exists, and won't be replaced", remedy="use another name", code="exists")


def sign(bundle: Bundle, key_file: Path, version: int | None = None) -> Signature:
    """Signs the manifest with the private key in ``key_file``, with ``version`` in it if given.

    Replaces an older signature. With another version the folder is replaced as a whole: at no moment does a manifest
    lie there without its signature.
    """
    key = _private_key(key_file)
    if version is None or version == bundle.manifest.version:
        return _write_signature(bundle.path, key)
    with changed_dir(bundle.path) as changed:
        write_manifest(changed, replace(bundle.manifest, version=version))
        return _write_signature(changed, key)


def _write_signature(folder: Path, key: Ed25519PrivateKey) -> Signature:
    content = (folder / MANIFEST).read_bytes()
    public = key.public_key().public_bytes_raw().hex()
    signature = Signature(ALGORITHM, public, key.sign(content).hex(), sha256(folder / MANIFEST))
    write_json(folder / SIGNATURE, asdict(signature))
    return signature


def sign_archive(archive: Path, key_file: Path) -> Signature:
    """Signs an archive that was packed for a board, beside it; replaces an older signature."""
    key = _private_key(key_file)
    made = key.sign(archive_message(archive)).hex()
    signature = Signature(ALGORITHM, key.public_key().public_bytes_raw().hex(), made)
    write_json(signature_beside(archive), asdict(signature))
    return signature


def readable_by_others(file: Path) -> bool:
    """Whether other users of this machine may read a private key."""
    return bool(file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _private_key(file: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = _load(lambda content: load_pem_private_key(content, password=None), file, "private")
    if not isinstance(key, Ed25519PrivateKey):
        raise bad_key(file, "private", "a key of another kind")
    return key


def _load(parse: Callable[[bytes], Any], file: Path, kind: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    content = read_limited(file, UsageError, limits.TEXT_FILE_BYTES, "key")
    try:
        return parse(content)
    except TypeError:
        raise bad_key(file, kind, "a key with a passphrase, which can't be asked for here") from None
    except (ValueError, UnsupportedAlgorithm):
        raise bad_key(file, kind, "none") from None

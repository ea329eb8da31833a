"""edge-seg bundle keygen, sign, check --public-key."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_seg import cli, partial
from edge_seg.bundle import open_bundle
from edge_seg.errors import BundleError
from edge_seg.trust import refuse_older, require_trusted_archive
from tests.bundles.made import edit

Bundle = Callable[..., tuple[int, str, str]]


@pytest.fixture
def key(bundle: Bundle, tmp_path: Path) -> Path:
    code, _, _ = bundle("keygen", tmp_path / "keys/maker")
    assert code == 0
    return tmp_path / "keys/maker"


@pytest.fixture
def signed(bundle: Bundle, sound: Path, key: Path) -> Path:
    code, out, _ = bundle("sign", sound, "--key", key)
    assert code == 0
    assert "signed with the key" in out
    return sound


def public(key: Path) -> Path:
    return key.with_name(key.name + ".pub")


def problems(bundle: Bundle, folder: Path, *words: str | Path) -> list[str]:
    code, out, _ = bundle("check", folder, *words, "--json")
    report = json.loads(out)
    assert code == (1 if report["problems"] else 0)
    return [problem["code"] for problem in report["problems"]]


def test_the_maker_is_recognised(bundle: Bundle, signed: Path, key: Path) -> None:
    assert problems(bundle, signed) == []
    assert problems(bundle, signed, "--public-key", public(key)) == []
    _, out, _ = bundle("check", signed)
    assert "holds: signed, key unknown" in out
    shown = json.loads(bundle("show", signed, "--json")[1])["signature"]
    assert shown["algorithm"] == "ed25519"
    assert shown["public_key"] in bundle("show", signed)[1]


def test_signing_leaves_the_bundle_what_it_is(bundle: Bundle, sound: Path, key: Path) -> None:
    before = bundle("show", sound, "--json")[1]
    first, second = [bundle("sign", sound, "--key", key, "--json") for _ in range(2)]
    assert first == second
    assert json.loads(before)["id"] == json.loads(bundle("show", sound, "--json")[1])["id"]


def test_a_private_key_is_for_its_owner_only_and_is_never_replaced(bundle: Bundle, key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    code, out, _ = bundle("keygen", key, "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "exists")
    key.rename(key.with_name("moved"))
    assert bundle("keygen", key)[0] == 2  # its .pub is still there
    assert key.with_name("moved").read_bytes() == before


def test_a_private_key_alone_gets_its_public_one(bundle: Bundle, key: Path) -> None:
    """As after a crash between the two."""
    before, lost = key.read_bytes(), public(key).read_bytes()
    public(key).unlink()
    assert bundle("keygen", key)[0] == 0
    assert (key.read_bytes(), public(key).read_bytes()) == (before, lost)
    public(key).unlink()
    key.write_bytes(b"something else")
    code, out, _ = bundle("keygen", key, "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "exists")
    assert key.read_bytes() == b"something else"


def test_an_altered_bundle_is_refused(bundle: Bundle, signed: Path, key: Path) -> None:
    edit(signed, lambda plain: plain["postprocess"].update(score_threshold=0.9))
    assert problems(bundle, signed) == ["signature-invalid"]
    assert problems(bundle, signed, "--public-key", public(key)) == ["signature-invalid"]
    for words in (["show", signed], ["pack", signed, "--out", "packed.tar.gz"]):
        code, out, _ = bundle(*words, "--json")
        assert (code, json.loads(out)["error"]["code"]) == (1, "signature-invalid")
    assert bundle("sign", signed, "--key", key)[0] == 0
    assert problems(bundle, signed) == []


def test_a_signature_of_an_older_version_holds(bundle: Bundle, signed: Path, key: Path) -> None:
    edit_signature(signed, lambda plain: plain.pop("manifest_sha256"))
    assert problems(bundle, signed, "--public-key", public(key)) == []
    assert bundle("show", signed)[0] == 0


def test_an_altered_file_is_refused(bundle: Bundle, signed: Path, key: Path) -> None:
    (signed / "mask.nb").write_bytes(b"other")
    assert problems(bundle, signed, "--public-key", public(key)) == ["hash-mismatch"]


def test_another_key_is_refused(bundle: Bundle, signed: Path, tmp_path: Path) -> None:
    bundle("keygen", tmp_path / "other")
    assert problems(bundle, signed, "--public-key", tmp_path / "other.pub") == ["wrong-key"]
    # Nor does it help to name the right key in a signature made with another one.
    real = json.loads((signed / "signature.json").read_text())["public_key"]
    bundle("sign", signed, "--key", tmp_path / "other")
    edit_signature(signed, lambda plain: plain.update(public_key=real))
    assert problems(bundle, signed) == ["signature-invalid"]


def test_an_unsigned_bundle_is_refused_when_a_key_is_asked_for(bundle: Bundle, sound: Path, key: Path) -> None:
    assert problems(bundle, sound) == []
    assert problems(bundle, sound, "--public-key", public(key)) == ["unsigned"]


def edit_signature(folder: Path, change: Callable[[Any], object]) -> None:
    file = folder / "signature.json"
    plain = json.loads(file.read_text())
    change(plain)
    file.write_text(json.dumps(plain))


def instead(file: Path, make: Callable[[], object]) -> None:
    file.unlink()
    make()


BROKEN: list[Callable[[Path], object]] = [
    lambda file: file.write_text(""),
    lambda file: file.write_text("[]"),
    lambda file: file.write_text("{}"),
    lambda file: file.write_bytes(b"\xff\xfe"),
    lambda file: edit_signature(file.parent, lambda plain: plain.update(algorithm="rsa")),
    lambda file: edit_signature(file.parent, lambda plain: plain.update(signature="0" * 127)),
    lambda file: edit_signature(file.parent, lambda plain: plain.update(signature="0" * 128)),
    lambda file: edit_signature(file.parent, lambda plain: plain.update(public_key="G" * 64)),
    lambda file: edit_signature(file.parent, lambda plain: plain.update(public_key="f" * 64)),
    lambda file: edit_signature(file.parent, lambda plain: plain.update(public_key="0" * 64)),
    lambda file: edit_signature(file.parent, lambda plain: plain.update(extra=1)),
    lambda file: instead(file, lambda: file.mkdir()),
    lambda file: instead(file, lambda: file.symlink_to("/etc/passwd")),
    lambda file: instead(file, lambda: file.symlink_to("nowhere")),
]


@pytest.mark.parametrize("break_it", BROKEN)
def test_a_signature_that_is_none(
    bundle: Bundle, signed: Path, tmp_path: Path, break_it: Callable[[Path], object]
) -> None:
    break_it(signed / "signature.json")
    assert problems(bundle, signed) == ["signature-invalid"]
    for words in (["show", signed], ["diff", signed, signed], ["pack", signed, "--out", tmp_path / "packed"]):
        code, _, err = bundle(*words)
        assert code == 0 or "signature.json" in err
        assert "unexpected" not in err


def test_it_is_packed_along(bundle: Bundle, signed: Path, key: Path, tmp_path: Path) -> None:
    file, back = tmp_path / "packed.tgz", tmp_path / "back"
    bundle("pack", signed, "--out", file)
    assert bundle("unpack", file, "--out", back, "--public-key", public(key))[0] == 0
    assert problems(bundle, back, "--public-key", public(key)) == []
    bundle("keygen", tmp_path / "other")
    for folder in (back, tmp_path / "new"):
        code, out, _ = bundle("unpack", file, "--out", folder, "--public-key", tmp_path / "other.pub", "--json")
        assert (code, json.loads(out)["error"]["code"]) == (1, "wrong-key")
    code, out, _ = bundle("unpack", file, "--out", back, "--public-key", key, "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "key-invalid")
    assert problems(bundle, back) == []  # what was there is still there
    assert not (tmp_path / "new").exists()


def test_signing_counts_as_a_difference(bundle: Bundle, sound: Path, key: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(sound, copy)
    bundle("sign", copy, "--key", key)
    code, out, _ = bundle("diff", sound, copy)
    assert code == 1
    assert "signature.json  only in b" in out


def test_a_damaged_bundle_is_not_signed(bundle: Bundle, sound: Path, key: Path) -> None:
    (sound / "mask.nb").write_bytes(b"other")
    assert bundle("sign", sound, "--key", key)[0] == 1
    assert not (sound / "signature.json").exists()


RSA = """-----BEGIN PUBLIC KEY-----
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8Qu
KUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==
-----END PUBLIC KEY-----
"""


def test_files_that_are_no_such_key(bundle: Bundle, signed: Path, key: Path, tmp_path: Path) -> None:
    (tmp_path / "rsa").write_text(RSA)
    (tmp_path / "empty").touch()
    wrong = [
        ["check", signed, "--public-key", key],
        ["check", signed, "--public-key", tmp_path / "rsa"],
        ["check", signed, "--public-key", tmp_path / "empty"],
        ["sign", signed, "--key", public(key)],
        ["sign", signed, "--key", signed / "mask.nb"],
    ]
    for words in wrong:
        code, out, err = bundle(*words, "--json")
        assert (code, json.loads(out)["error"]["code"]) == (2, "key-invalid"), words
        assert f"{words[-1]}: expected a p" in err
    assert bundle("sign", signed, "--key", tmp_path / "nothing")[0] == 2


def test_a_key_with_a_passphrase_is_refused_with_the_reason(bundle: Bundle, sound: Path, key: Path) -> None:
    from cryptography.hazmat.primitives import serialization as form

    locked = key.with_name("locked")
    private = form.load_pem_private_key(key.read_bytes(), None)
    locked.write_bytes(
        private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"secret"))
    )
    code, _, err = bundle("sign", sound, "--key", locked)
    assert code == 2
    assert "passphrase" in err


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl")
def test_openssl_makes_keys_and_verifies_alike(bundle: Bundle, sound: Path, tmp_path: Path) -> None:
    def openssl(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["openssl", *map(str, words)], cwd=tmp_path, capture_output=True, text=True, check=True)

    openssl("genpkey", "-algorithm", "ed25519", "-out", "key")
    openssl("pkey", "-in", "key", "-pubout", "-out", "key.pub")
    assert bundle("sign", sound, "--key", tmp_path / "key")[0] == 0
    assert problems(bundle, sound, "--public-key", tmp_path / "key.pub") == []
    signature = json.loads((sound / "signature.json").read_text())["signature"]
    (tmp_path / "signature").write_bytes(bytes.fromhex(signature))
    verify = ["pkeyutl", "-verify", "-pubin", "-inkey", "key.pub", "-rawin", "-sigfile", "signature", "-in"]
    assert "Verified" in openssl(*verify, sound / "manifest.json").stdout


def test_without_the_library_signatures_are_checked_all_the_same(
    bundle: Bundle, signed: Path, key: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)  # what import then raises is a ModuleNotFoundError
    assert problems(bundle, signed) == []
    assert problems(bundle, signed, "--public-key", public(key)) == []
    assert cli.main(["bundle", "sign", str(signed), "--key", str(key)]) == 1
    assert "cryptography" in capsys.readouterr().err
    forge(signed)
    assert problems(bundle, signed) == ["signature-invalid"]


def forge(folder: Path) -> None:
    """Edits the manifest and renews its hash in the signature, which stays wrong."""
    edit(folder, lambda plain: plain["postprocess"].update(score_threshold=0.9))
    digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    edit_signature(folder, lambda plain: plain.update(manifest_sha256=digest))


def test_a_renewed_hash_does_not_make_a_signature(bundle: Bundle, signed: Path) -> None:
    forge(signed)
    for words in (["check", signed], ["show", signed], ["diff", signed, signed]):
        code, out, err = bundle(*words)
        assert code in (1, 2)
        assert "not what was signed" in out + err


def test_a_key_that_others_can_read_is_warned_of(bundle: Bundle, sound: Path, key: Path) -> None:
    assert "warning" not in bundle("sign", sound, "--key", key)[2]
    key.chmod(0o644)
    code, _, err = bundle("sign", sound, "--key", key)
    assert code == 0
    assert "other users can read this key" in err


def test_a_version_is_signed_along(bundle: Bundle, sound: Path, key: Path) -> None:
    assert "version" not in json.loads((sound / "manifest.json").read_text())
    assert bundle("sign", sound, "--key", key, "--version", "7")[0] == 0
    assert problems(bundle, sound, "--public-key", public(key)) == []
    assert open_bundle(sound).manifest.version == 7
    assert "version 7" in bundle("show", sound)[1]
    assert bundle("sign", sound, "--key", key)[0] == 0
    assert open_bundle(sound).manifest.version == 7  # it stays, unless another is given
    refuse_older(sound, 7, 7)
    refuse_older(sound, 7, None)
    refuse_older(sound, 7, 8, allowed=True)
    with pytest.raises(BundleError, match="version 7, older than version 8"):
        refuse_older(sound, 7, 8)


def test_a_new_version_replaces_manifest_and_signature_at_once(
    bundle: Bundle, signed: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (signed / "notes").mkdir()
    (signed / "notes/mine.txt").write_text("stays")
    (signed / "link").symlink_to("notes")
    before = {name: (signed / name).read_bytes() for name in ("manifest.json", "signature.json")}
    seen = []

    def look(partial: Path, path: Path) -> None:
        seen.append({name: (path / name).read_bytes() for name in before})
        take_place(partial, path)

    take_place = partial.take_place
    monkeypatch.setattr(partial, "take_place", look)
    assert bundle("sign", signed, "--key", key, "--version", "8")[0] == 0
    assert seen == [before]
    assert problems(bundle, signed, "--public-key", public(key)) == []
    assert open_bundle(signed).manifest.version == 8
    assert (signed / "notes/mine.txt").read_text() == "stays"
    assert (signed / "link").is_symlink()
    assert sorted(path.name for path in signed.parent.iterdir() if path.name.startswith(".")) == []


def test_an_archive_is_signed_as_a_whole(bundle: Bundle, key: Path, tmp_path: Path) -> None:
    archive = tmp_path / "board.tar.gz"
    archive.write_bytes(b"runner, library and bundle")
    assert str(require_trusted_archive(archive)) == "not signed"
    assert bundle("sign", archive, "--key", key)[0] == 0
    assert require_trusted_archive(archive, public(key)).trusted == public(key)
    assert bundle("sign", archive, "--key", key, "--version", "3")[0] == 2
    archive.write_bytes(b"runner, another library and bundle")
    with pytest.raises(BundleError, match="not what was signed"):
        require_trusted_archive(archive)
    (tmp_path / "board.tar.gz.signature.json").unlink()
    with pytest.raises(BundleError, match="not signed"):
        require_trusted_archive(archive, public(key))

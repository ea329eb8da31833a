"""Trusted keys: what they refuse, and where they are looked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_seg import cli, ed25519, trust
from edge_seg.bundle import open_bundle
from edge_seg.bundles.sign import keygen, sign
from edge_seg.errors import BundleError, UsageError
from edge_seg.runtime import runner
from tests.bundles.made import edit, make_bundle
from tests.conftest import ROOT, with_etc


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of trusted keys, with the public key to ``maker`` in it; the machine has none."""
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(trust, "SYSTEM", tmp_path / "etc")
    folder = tmp_path / "home/.config/edge-seg/trusted-keys"
    folder.mkdir(parents=True)
    for name in ("maker", "other"):
        keygen(tmp_path / name)
    (tmp_path / "maker.pub").rename(folder / "maker.pub")
    return folder


@pytest.fixture
def signed(tmp_path: Path, home: Path) -> Path:
    bundle = make_bundle(tmp_path / "bundle")
    sign(open_bundle(bundle), tmp_path / "maker")
    return bundle


def stripped(bundle: Path, _: Path) -> None:
    (bundle / "signature.json").unlink()


def signed_again(bundle: Path, keys: Path) -> None:
    sign(open_bundle(bundle), keys / "other")


def altered(bundle: Path, _: Path) -> None:
    edit(bundle, lambda plain: plain["postprocess"].update(score_threshold=0.9))


def with_the_right_name(bundle: Path, keys: Path) -> None:
    maker = json.loads((bundle / "signature.json").read_text())["public_key"]
    signed_again(bundle, keys)
    plain = json.loads((bundle / "signature.json").read_text())
    (bundle / "signature.json").write_text(json.dumps({**plain, "public_key": maker}))


FORGERIES: dict[Callable[[Path, Path], None], str] = {
    stripped: "unsigned",
    signed_again: "wrong-key",
    altered: "signature-invalid",
    with_the_right_name: "signature-invalid",
}


def test_what_the_maker_signed_is_trusted(signed: Path, home: Path) -> None:
    assert trust.require_trusted(open_bundle(signed)).trusted == home / "maker.pub"


@pytest.mark.parametrize("forge", FORGERIES)
def test_every_forgery_is_refused(
    forge: Callable[[Path, Path], None], signed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forge(signed, tmp_path)
    photo = tmp_path / "photo.png"
    photo.write_bytes((signed / "golden/image.png").read_bytes())
    for words in (
        ["predict", signed, photo, "--out", tmp_path / "out"],
        ["bench", "run", signed, "--out", tmp_path / "records.jsonl"],
        ["verify", signed],
    ):
        capsys.readouterr()
        assert cli.main([*map(str, words), "--json"]) == 1
        out, err = capsys.readouterr()
        said = {
            "unsigned": "not signed",
            "wrong-key": "signed with the key",
            "signature-invalid": "not what was signed",
        }
        assert said[FORGERIES[forge]] in out + err, words
    assert runner.main(["--bundle", str(signed), "--images", str(photo), "--json"]) == 1
    assert f'"code": "{FORGERIES[forge]}"' in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "records.jsonl").exists()


@pytest.mark.parametrize("forge", [altered, with_the_right_name])
def test_a_wrong_signature_is_refused_without_any_key(
    forge: Callable[[Path, Path], None], signed: Path, home: Path, tmp_path: Path
) -> None:
    (home / "maker.pub").unlink()
    assert "key unknown" in str(trust.require_trusted(open_bundle(signed)))
    forge(signed, tmp_path)
    with pytest.raises(BundleError) as caught:
        open_bundle(signed)
    assert caught.value.code == "signature-invalid"


def test_a_named_file_counts_instead_of_the_folders(signed: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="expected one that is trusted here"):
        trust.require_trusted(open_bundle(signed), tmp_path / "other.pub")


def test_a_file_may_hold_several_keys(signed: Path, home: Path, tmp_path: Path) -> None:
    both = tmp_path / "both.pub"
    both.write_bytes((tmp_path / "other.pub").read_bytes() + (home / "maker.pub").read_bytes())
    assert trust.require_trusted(open_bundle(signed), both).trusted == both


def test_a_key_that_cannot_be_read_lets_nothing_pass(signed: Path, home: Path) -> None:
    (home / "broken.pub").write_text("no key")
    with pytest.raises(UsageError, match=r"broken\.pub: expected a public ed25519 key"):
        trust.require_trusted(open_bundle(signed))


def test_the_systems_folder(signed: Path, home: Path, tmp_path: Path) -> None:
    """As a program that was started anew sees it."""
    (tmp_path / "etc/edge-seg").mkdir(parents=True)
    home.rename(tmp_path / "etc/edge-seg/trusted-keys")
    there = with_etc(tmp_path / "etc")
    words = [sys.executable, "-m", "edge_seg.cli", "predict", str(signed), str(signed / "golden/image.png")]

    def said(*before: str) -> str:
        command = [*before, *words, "--out", str(tmp_path / "out")]
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
        assert done.returncode == 1  # its graphs are noise, and for Arm
        return done.stderr

    assert "signed with the key in /etc/edge-seg/trusted-keys/maker.pub" in said(*there)
    (signed / "signature.json").unlink()
    assert "not signed, and only what is signed with a trusted key may run here" in said(*there)
    assert "not signed" not in said()


@pytest.mark.parametrize("way", ["a link to nowhere", "a link in a circle", "a file"])
def test_a_folder_that_is_none_lets_nothing_pass(signed: Path, home: Path, way: str) -> None:
    (home / "maker.pub").unlink()
    home.rmdir()
    if way == "a file":
        home.touch()
    else:
        home.symlink_to("nowhere" if way == "a link to nowhere" else home.name)
    with pytest.raises(UsageError, match=r"trusted-keys: can't be read: "):
        trust.require_trusted(open_bundle(signed))
    home.unlink()
    home.parent.rmdir()
    home.parent.touch()  # as with XDG_CONFIG_HOME=/dev/null: no folder was meant
    assert trust.require_trusted(open_bundle(signed)).trusted is None


def test_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert trust.folders() == [tmp_path / "edge-seg/trusted-keys", trust.SYSTEM]
    monkeypatch.setenv("XDG_CONFIG_HOME", "not absolute")
    monkeypatch.setenv("HOME", "/home/x")
    assert trust.folders()[0] == Path("/home/x/.config/edge-seg/trusted-keys")
    monkeypatch.delenv("HOME")
    assert trust.folders() == [trust.SYSTEM]


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 767), st.booleans())
@settings(max_examples=25, deadline=None)
def test_our_own_verification_agrees_with_the_library(seed: bytes, message: bytes, bit: int, damaged: bool) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    private = Ed25519PrivateKey.from_private_bytes(seed)
    both = bytearray(private.public_key().public_bytes_raw() + private.sign(message))
    if damaged:
        both[bit // 8] ^= 1 << bit % 8
    key, signature = bytes(both[:32]), bytes(both[32:])
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        right = True
    except InvalidSignature:
        right = False
    assert ed25519.verify(key, message, signature) is right
    assert right is not damaged


def test_what_is_no_point_or_too_large_is_no_signature() -> None:
    key = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")  # RFC 8032, test 1
    made = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b"
    )
    assert ed25519.verify(key, b"", made)
    larger = int.from_bytes(made[32:], "little") + 2**252 + 27742317777372353535851937790883648493
    assert not ed25519.verify(key, b"", made[:32] + larger.to_bytes(32, "little"))
    assert not ed25519.verify(b"\xff" * 32, b"", made)
    assert not ed25519.verify(key, b"", b"\xff" * 64)
    assert not ed25519.verify(key, b"", made[:63])

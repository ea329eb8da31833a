"""Trusted keys in the C++ runner: where they are looked for, and what they refuse, as edge_seg/trust.py does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_seg.bundle import open_bundle
from edge_seg.bundles.sign import keygen, sign
from tests.conftest import with_etc
from tests.native.bundles import native
from tests.native.running import RUN, of_kind
from tests.test_trust import FORGERIES, altered, with_the_right_name

WORDS = (*RUN, "--image", "grey.png", "--repeat", "1")


@pytest.fixture
def keys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of trusted keys, with that of whoever signed the bundle in it; ``other`` signs too."""
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(folder / "home"))
    trusted = folder / "home/.config/edge-seg/trusted-keys"
    trusted.mkdir(parents=True)
    for name in ("maker", "other"):
        keygen(folder / name)
    shutil.move(folder / "maker.pub", trusted / "maker.pub")
    sign(open_bundle(folder / "bundle"), folder / "maker")
    return trusted


def code_of(command: list[str], *words: str) -> str:
    """The error's code, "" where the bundle was run."""
    code, lines = native(command, *WORDS, *words)
    if code == 0:
        return ""
    (error,) = of_kind(lines, "error")
    assert error["remedy"]
    return str(error["code"])


def test_what_the_maker_signed_is_run(local: list[str], keys: Path) -> None:
    _, lines = native(local, *WORDS)
    assert of_kind(lines, "load")[0]["signature"] == "trusted"


@pytest.mark.parametrize("forge", FORGERIES)
def test_every_forgery_is_refused(
    local: list[str], folder: Path, keys: Path, forge: Callable[[Path, Path], None]
) -> None:
    forge(folder / "bundle", folder)
    assert code_of(local) == FORGERIES[forge]


@pytest.mark.parametrize("forge", [altered, with_the_right_name])
def test_a_wrong_signature_is_refused_without_any_key(
    local: list[str], folder: Path, keys: Path, forge: Callable[[Path, Path], None]
) -> None:
    (keys / "maker.pub").unlink()
    assert code_of(local) == ""
    forge(folder / "bundle", folder)
    assert code_of(local) == "signature-invalid"


def test_a_named_file_counts_instead_of_the_folders(local: list[str], folder: Path, keys: Path) -> None:
    assert code_of(local, "--public-key", "other.pub") == "wrong-key"


def test_keys_that_can_not_be_read_let_nothing_pass(local: list[str], keys: Path) -> None:
    (keys / "notes.txt").write_text("no key, and no file of keys")
    assert code_of(local) == ""
    (keys / "broken.pub").write_text("no key")
    assert code_of(local) == "key-invalid"


def test_the_systems_folder(local: list[str], folder: Path, keys: Path) -> None:
    shutil.move(keys, folder / "etc/edge-seg/trusted-keys")
    there = with_etc(folder / "etc")
    assert code_of([*there, *local]) == ""
    (folder / "bundle/signature.json").unlink()
    assert code_of([*there, *local]) == "unsigned"
    assert code_of(local) == ""


@pytest.mark.parametrize("way", ["a link to nowhere", "a link in a circle", "a file"])
def test_a_folder_that_is_none_lets_nothing_pass(local: list[str], keys: Path, way: str) -> None:
    shutil.rmtree(keys)
    if way == "a file":
        keys.touch()
    else:
        keys.symlink_to("nowhere" if way == "a link to nowhere" else keys.name)
    assert code_of(local) == "key-invalid"
    keys.unlink()
    keys.parent.rmdir()
    keys.parent.touch()  # as with XDG_CONFIG_HOME=/dev/null: no folder was meant
    assert code_of(local) == ""


def test_where_they_are_looked_for(local: list[str], folder: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(keys, folder / "configuration/edge-seg/trusted-keys")
    shutil.rmtree(keys)
    assert code_of(local) == ""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "configuration"))
    (folder / "bundle/signature.json").unlink()
    assert code_of(local) == "unsigned"
    monkeypatch.setenv("XDG_CONFIG_HOME", "configuration")  # not absolute: as if it weren't set
    assert code_of(local) == ""

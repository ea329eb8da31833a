"""Damaged bundles, whatever way they came to it: every command says so in one message, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundles.made import edit, make_bundle

Bundle = Callable[..., tuple[int, str, str]]
Damage = Callable[[Path], object]

FILES = ("detect.nb", "mask.nb", "golden/image.png", "golden/expected.json")
ALL = (*FILES, "manifest.json")


def flip(name: str, place: float, mask: int = 0x01) -> Damage:
    def act(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[int(place * (len(content) - 1))] ^= mask
        (folder / name).write_bytes(content)

    return act


def cut(name: str, part: float) -> Damage:
    def act(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(part * len(content))])

    return act


def replace(name: str, by: Callable[[Path], object]) -> Damage:
    def act(folder: Path) -> None:
        (folder / name).unlink()
        by(folder / name)

    return act


def swap(a: str, b: str) -> Damage:
    def act(folder: Path) -> None:
        content = (folder / a).read_bytes()
        shutil.copy(folder / b, folder / a)
        (folder / b).write_bytes(content)

    return act


def replaced_text(old: str, new: str) -> Damage:
    def act(folder: Path) -> None:
        text = (folder / "manifest.json").read_text()
        assert old in text
        (folder / "manifest.json").write_text(text.replace(old, new, 1))

    return act


DAMAGES: dict[str, Damage] = {
    **{f"{name}: byte {place} flipped": flip(name, place) for name in FILES for place in (0, 0.3, 0.9, 1)},
    **{f"{name}: cut to {part}": cut(name, part) for name in ALL for part in (0, 0.1, 0.5, 0.999)},
    **{f"{name}: gone": replace(name, lambda file: None) for name in ALL},
    **{f"{name}: renamed": replace(name, lambda file: file.with_name("other").touch()) for name in ALL},
    **{f"{name}: empty": replace(name, Path.touch) for name in ALL},
    **{f"{name}: a folder": replace(name, Path.mkdir) for name in ALL},
    **{f"{name}: a link to nothing": replace(name, lambda file: file.symlink_to("nothing")) for name in ALL},
    **{f"{name}: a link in a circle": replace(name, lambda file: file.symlink_to(file.name)) for name in ALL},
    **{f"{name}: of another": replace(name, lambda file: file.write_text("another")) for name in ALL},
    "graphs swapped": swap("detect.nb", "mask.nb"),
    "golden files swapped": swap("golden/image.png", "golden/expected.json"),
    "manifest and graph swapped": swap("manifest.json", "mask.nb"),
    "manifest and result swapped": swap("manifest.json", "golden/expected.json"),
    "all files empty": lambda folder: [(folder / name).write_bytes(b"") for name in ALL],
    "the folder emptied": lambda folder: [(folder / name).rename(folder.parent / "gone") for name in ALL],
    "the golden folder gone": lambda folder: shutil.rmtree(folder / "golden"),
    "a link out of it": replace("mask.nb", lambda file: file.symlink_to("/etc/passwd")),
    "manifest: no text": lambda folder: (folder / "manifest.json").write_bytes(b"\xff\xfe\x00"),
    "manifest: flipped brace": flip("manifest.json", 0, 0x20),
    "manifest: high bit": flip("manifest.json", 0.5, 0x80),
    "manifest: deep": lambda folder: (folder / "manifest.json").write_text("[" * 100_000),
    "manifest: deep field": lambda folder: edit(folder, lambda m: m.update(source=json.loads("[" * 900 + "]" * 900))),
    "manifest: deep class": lambda folder: edit(folder, lambda m: m.update(classes=json.loads("[" * 900 + "]" * 900))),
    "manifest: infinite field": replaced_text("0.00087", "1e999"),
    "manifest: huge number": replaced_text('"schema": 1', '"schema": ' + "1" * 5000),
    "manifest: newer": replaced_text('"schema": 1', '"schema": 2'),
    "manifest: older": replaced_text('"schema": 1', '"schema": 0'),
    "manifest: a hash altered": replaced_text('"detect.nb": "', '"detect.nb": "0'),
    "manifest: a name altered": replaced_text('"mask.nb"', '"mask.bn"'),
    "manifest: a name that leads out": replaced_text('"mask.nb"', '"../sound/mask.nb"'),
    "manifest: a key altered": replaced_text('"proposals"', '"propasals"'),
    "manifest: a type altered": replaced_text('"proposals": 20', '"proposals": "20"'),
    "manifest: a range left": replaced_text('"nms_iou": 0.5', '"nms_iou": 5.5'),
    "signature: garbage": lambda folder: (folder / "signature.json").write_bytes(b"\x00\x01"),
}


def test_there_are_enough() -> None:
    assert len(DAMAGES) >= 60


@pytest.mark.parametrize("name", DAMAGES)
def test_it_is_told_and_nothing_is_left(bundle: Bundle, tmp_path: Path, name: str) -> None:
    sound, damaged, out = make_bundle(tmp_path / "sound"), make_bundle(tmp_path / "damaged"), tmp_path / "out"
    out.mkdir()
    (out / "older.tgz").write_bytes(b"older")
    DAMAGES[name](damaged)
    before = sorted(tmp_path.rglob("*"))

    code, said, err = bundle("check", damaged, "--json")
    report = json.loads(said)
    assert (code, err, report["sound"]) == (1, "", False)
    assert all(problem["code"] != "bug" and problem["remedy"] for problem in report["problems"]), report
    assert bundle("check", damaged)[0] == 1

    for words, expected in [
        (["show", damaged], 1),
        (["show", damaged, "--json"], 1),
        (["diff", sound, damaged], 2),
        (["diff", damaged, sound], 2),
        (["pack", damaged, "--out", out / "packed.tgz"], 1),
        (["pack", damaged, "--out", out / "older.tgz"], 1),
        (["sign", damaged, "--key", tmp_path / "no key is ever read"], 1),
    ]:
        code, said, err = bundle(*words)
        if name.startswith("signature") and words[0] == "sign":
            continue  # it is replaced
        assert code == expected, (words, said, err)
        assert err.startswith("Error: ")
        assert "unexpected" not in err
        assert "Traceback" not in err
        assert str(damaged) in err
        assert not said or json.loads(said)["error"]["message"] in err
    assert sorted(tmp_path.rglob("*")) == before
    assert (out / "older.tgz").read_bytes() == b"older"


def test_no_altered_byte_of_a_signed_manifest_is_let_through(bundle: Bundle, tmp_path: Path) -> None:
    """Many a flipped byte gives another valid manifest: another class name, another threshold."""
    folder, key = make_bundle(tmp_path / "b"), tmp_path / "key"
    bundle("keygen", key)
    bundle("sign", folder, "--key", key)
    manifest = folder / "manifest.json"
    whole = manifest.read_bytes()
    for number in range(80):
        content = bytearray(whole)
        content[number * len(whole) // 80] ^= 1 << (number % 8)
        manifest.write_bytes(content)
        code, _, err = bundle("show", folder)
        assert code == 1
        assert "unexpected" not in err
        code, out, _ = bundle("check", folder, "--public-key", f"{key}.pub", "--json")
        problems = json.loads(out)["problems"]
        assert code == 1
        assert all(problem["code"] != "bug" for problem in problems)


def test_a_damaged_packed_bundle_is_refused_or_gives_the_very_same(bundle: Bundle, tmp_path: Path) -> None:
    sound, packed, out = make_bundle(tmp_path / "sound"), tmp_path / "packed.tgz", tmp_path / "in/out"
    bundle("pack", sound, "--out", packed)
    whole = packed.read_bytes()
    damaged = [whole[: len(whole) * part // 30] for part in range(30)]
    for number in range(60):
        content = bytearray(whole)
        content[number * len(whole) // 60] ^= 1 << (number % 8)
        damaged.append(bytes(content))
    damaged += [whole[100:], whole[::-1], whole + whole[:50], b"PK\x03\x04" + whole, bytes(1000)]
    refused = 0
    for altered in damaged:
        packed.write_bytes(altered)
        code, _, err = bundle("unpack", packed, "--out", out)
        if code:
            refused += 1
            assert err.startswith(f"Error: {packed}"), err
            assert "unexpected" not in err
            assert not out.parent.exists() or list(out.parent.iterdir()) == []
        else:
            assert bundle("diff", sound, out)[0] == 0
            shutil.rmtree(out)
    assert refused > len(damaged) * 0.9

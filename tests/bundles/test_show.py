"""edge-seg bundle show."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from edge_seg.bundle import open_bundle
from tests.bundles.made import edit, make_bundle

Bundle = Callable[..., tuple[int, str, str]]


def test_what_it_is_on_one_screen(bundle: Bundle, sound: Path) -> None:
    code, out, _ = bundle("show", sound)
    assert code == 0
    for said in (
        "shapes-256x256-arm-fp32",
        open_bundle(sound).id,
        "paddle-lite 2.13rc0 for arm, fp32",
        "2: disc, star",
        "256x256",
        "boxes float32[20, 2, 4]",
        "channel int32[?]",
        "metrics (mask_map 0.5)",
        "box_px 0.00087, checked_by x86-fp32, repeats yes",
        "detect 2.0 kB",
    ):
        assert said in " ".join(out.split()), said
    assert len(out.splitlines()) <= 40
    assert max(map(len, out.splitlines())) <= 100


def test_json_has_all_of_it(bundle: Bundle, sound: Path) -> None:
    code, out, err = bundle("show", sound, "--json")
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert shown["manifest"] == json.loads((sound / "manifest.json").read_text())
    assert shown["bytes"] == sum(file.stat().st_size for file in sound.rglob("*") if file.is_file())
    assert shown["model_bytes"] == 4000
    assert shown["files"]["mask.nb"] == 2000
    assert shown["signature"] is None


def test_a_thousand_classes_fit_on_the_screen_too(bundle: Bundle, tmp_path: Path) -> None:
    names = tuple(f"class number {i}" for i in range(1000))
    folder = make_bundle(tmp_path / "b", classes=names, category_ids=tuple(range(1000)))
    _, out, _ = bundle("show", folder)
    assert "and 980 more" in " ".join(out.split())
    assert len(out.splitlines()) <= 40


def test_no_name_reaches_the_terminal_as_a_command(bundle: Bundle, sound: Path) -> None:
    def change(plain: dict[str, object]) -> None:
        plain["name"] = plain["recipe"] = plain["engine"] = "\x1b[2J\u202e\n"
        plain["classes"] = ["\x1b]0;owned\x07", "\ud800"]
        plain["source"] = {"\x1b[31m": ["\r", ""]}

    edit(sound, change)
    for words in (["show", sound], ["check", sound], ["diff", sound, sound]):
        _, out, err = bundle(*words)
        assert all(c.isprintable() or c == "\n" for c in out + err), words

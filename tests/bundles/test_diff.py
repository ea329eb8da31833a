"""edge-seg bundle diff."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_seg.manifest import GraphSpec
from tests.bundles.made import GRAPHS, TENSORS, edit, f32, make_bundle

Bundle = Callable[..., tuple[int, str, str]]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "other")


def test_the_same(bundle: Bundle, sound: Path, other: Path) -> None:
    code, out, _ = bundle("diff", sound, other)
    assert code == 0
    assert out.startswith("the same bundle: ")
    code, out, _ = bundle("diff", sound, other, "--json")
    report = json.loads(out)
    assert (code, report["same"]) == (0, True)
    assert report["fields"] == report["tensors"] == report["files"] == []


def fields(report: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {item["name"]: (item.get("a", "absent"), item.get("b", "absent")) for item in report["fields"]}


def test_fields(bundle: Bundle, sound: Path, tmp_path: Path) -> None:
    other = make_bundle(
        tmp_path / "b",
        recipe="arm-int8",
        classes=("disc", "ring"),
        source={"run": "run", "metrics": {"mask_map": 0.25}},
        optimizer={"version": None},
        verification={"checked_by": "x86-fp32", "box_px": 0.00087, "repeats": 1},
    )
    code, out, _ = bundle("diff", sound, other, "--json")
    report = json.loads(out)
    assert (code, report["same"]) == (1, False)
    assert fields(report) == {
        "recipe": ("arm-fp32", "arm-int8"),
        "classes": (["disc", "star"], ["disc", "ring"]),
        "source.metrics.mask_map": (0.5, 0.25),
        "verification.repeats": (True, 1),
        "optimizer": ({}, "absent"),
        "optimizer.version": ("absent", None),
    }
    assert [file["name"] for file in report["files"]] == ["manifest.json"]
    _, out, _ = bundle("diff", sound, other)
    assert "arm-fp32 → arm-int8" in out
    assert "absent → none" in out
    assert "contents differ" not in out  # the manifests' lengths do


def test_long_lists_are_compared_item_by_item(bundle: Bundle, tmp_path: Path) -> None:
    names = tuple("abcdef")
    a = make_bundle(tmp_path / "a", classes=names, category_ids=tuple(range(6)))
    b = make_bundle(tmp_path / "b", classes=(*names[:5], "g", "h"), category_ids=tuple(range(7)))
    report = json.loads(bundle("diff", a, b, "--json")[1])
    assert fields(report) == {
        "classes[5]": ("f", "g"),
        "classes[6]": ("absent", "h"),
        "category_ids[6]": ("absent", 6),
    }


def test_tensors_files_and_sizes(bundle: Bundle, sound: Path, tmp_path: Path) -> None:
    inputs, outputs = TENSORS["detect"]
    graphs = {
        "detect": GraphSpec({GRAPHS["detect"]: "0" * 64}, inputs, (f32("boxes", 50, 2, 4), *outputs[1:])),
        "mask": GraphSpec({"mask2.nb": "0" * 64}, *TENSORS["mask"]),
    }
    other = make_bundle(tmp_path / "b", graphs=graphs)
    (other / "detect.nb").write_bytes(b"x" * 1999)
    (other / "mask2.nb").write_bytes(b"x" * 10)

    def rehash(plain: dict[str, Any]) -> None:
        from edge_seg.files import sha256

        for graph in plain["graphs"].values():
            graph["files"] = {name: sha256(other / name) for name in graph["files"]}

    edit(other, rehash)
    code, out, _ = bundle("diff", sound, other)
    assert code == 1
    squeezed = " ".join(out.split())
    for said in (
        "detect.outputs[0] boxes float32[20, 2, 4] → boxes float32[50, 2, 4]",
        "detect.nb 2,000 → 1,999 bytes",
        "mask.nb only in a, 2,000 bytes",
        "mask2.nb only in b, 10 bytes",
        "graphs.mask.files mask.nb → mask2.nb",
        "in all",
    ):
        assert said in squeezed, said
    report = json.loads(bundle("diff", sound, other, "--json")[1])
    assert report["a"]["bytes"] == sum(file.stat().st_size for file in sound.rglob("*") if file.is_file())
    files = {file["name"]: (file.get("a", {}).get("bytes"), file.get("b", {}).get("bytes")) for file in report["files"]}
    assert files["detect.nb"] == (2000, 1999)
    assert files["mask.nb"] == (2000, None)


def test_another_layout_of_the_same_manifest_is_told(bundle: Bundle, sound: Path, other: Path) -> None:
    edit(other, lambda plain: None)
    code, out, _ = bundle("diff", sound, other)
    assert code == 1
    assert "manifest.json" in out
    assert "fields" not in out


def test_trouble_is_not_a_difference(bundle: Bundle, sound: Path, other: Path, tmp_path: Path) -> None:
    (other / "mask.nb").unlink()
    for words in ([sound, other], [other, sound], [sound, tmp_path / "nothing"]):
        code, out, err = bundle("diff", *words)
        assert (code, out) == (2, "")
        assert err.startswith("Error: ")
    shutil.copy(sound / "detect.nb", other / "mask.nb")
    code, out, _ = bundle("diff", sound, other, "--json")
    assert code == 2
    assert json.loads(out)["error"]["code"] == "hash-mismatch"

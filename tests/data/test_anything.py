"""Whatever a COCO or labelme file holds: a named complaint, or a training that runs; nothing goes in silence."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_seg.data.check import check
from edge_seg.data.coco import ReadOptions, load_splits
from edge_seg.data.findings import Findings
from edge_seg.data.fix import write_fixed
from edge_seg.data.formats.convert import ImportOptions, import_dataset
from edge_seg.data.loader import LoaderSettings, make_batch
from edge_seg.errors import EdgeSegError
from edge_seg.manifest import PreprocessSpec

SPEC = PreprocessSpec((64, 64))
WIDTH, HEIGHT = 48, 32
NUMBERS = st.one_of(
    st.integers(-100, 200),
    st.sampled_from([0, 1, 2, 3, 47.5, 48, 1e9, 1e300, -1e-9, float("nan"), float("inf"), 10**30, 0.5]),
    st.floats(-60, 100),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.sampled_from(["", "1", "2", "a", "x\\1.png", "1.png", "é\0"]))
POLYGON = st.lists(NUMBERS, max_size=12)
RUNS = st.one_of(
    st.lists(st.one_of(st.integers(-3, 1600), st.integers(0, 40)), max_size=8),
    st.text("0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmno", max_size=20),
)
RLE = st.fixed_dictionaries({"size": st.sampled_from([[HEIGHT, WIDTH], [WIDTH, HEIGHT], [1], None]), "counts": RUNS})
VALUES = st.recursive(
    st.one_of(SCALARS, POLYGON, RLE, st.lists(POLYGON, max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["id", "a"]), inner, max_size=2)
    ),
    max_leaves=6,
)


def coco() -> dict[str, Any]:
    square = [4, 4, 30, 4, 30, 20, 4, 20]
    return {
        "images": [{"id": n, "file_name": f"{n}.png", "width": WIDTH, "height": HEIGHT} for n in (1, 2)],
        "annotations": [
            {"id": n, "image_id": 1 + n % 2, "category_id": 1 + n // 2, "bbox": [4, 4, 26, 16], "area": 416,
             "iscrowd": 0, "segmentation": [square]}
            for n in range(4)
        ],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }  # fmt: skip


def labelme(name: str) -> dict[str, Any]:
    shapes = [
        {"label": label, "points": [[4, 4], [30, 4], [30, 20]], "group_id": None, "shape_type": "polygon"}
        for label in "ab"
    ]
    return {"shapes": shapes, "imagePath": name, "imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to everything inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, one in inner for found in [(*path, key), *places(one, (*path, key))]]


@st.composite
def changed(draw: st.DrawFn, plain: dict[str, Any]) -> Any:
    """``plain`` with one to three of its values replaced, removed or repeated."""
    whole: Any = copy.deepcopy(plain)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(whole)))
        holder: Any = whole
        for key in path[:-1]:
            holder = holder[key]
        how = draw(st.sampled_from(["set", "set", "set", "remove", "repeat"]))
        if how == "remove":
            del holder[path[-1]]
        elif how == "repeat" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[path[-1]]))
        else:
            holder[path[-1]] = copy.deepcopy(draw(VALUES))  # lists that are sampled from are shared
        if not places(whole):
            break
    return whole


def write_images(folder: Path) -> None:
    folder.mkdir()
    for n in (1, 2):
        pixels = np.random.default_rng(n).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        cv2.imwrite(str(folder / f"{n}.png"), pixels)


def train_on(folder: Path) -> int:
    """Makes every batch of an epoch; returns how many annotations there are."""
    for dataset in load_splits(folder):
        for step in range(len(dataset)):
            batch = make_batch(dataset, LoaderSettings(SPEC, scale_range=(0.5, 1.5)), 0, step)
            assert all(np.isfinite(boxes).all() for boxes in batch.boxes)
        truth = dataset.ground_truth()
        assert all(np.isfinite(a["bbox"]).all() and a["area"] > 0 for a in truth.dataset["annotations"])
    return sum(len(record.annotations) for record in load_splits(folder)[0].images)


@settings(max_examples=25, deadline=None)
@given(changed(coco()))
def test_any_coco_file(plain: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "set")
        write_images(root)
        (root / "train.json").write_text(json.dumps(plain))
        (root / "val.json").write_text(json.dumps(coco()))
        report = check(root)
        json.dumps(report.as_json(), allow_nan=False)
        if report.ok:
            left_out = [f for f in report.findings if f.kind in ("no-pixels", "same-object") and "train" in f.file]
            assert len(plain["annotations"]) == train_on(root) + len(left_out)
        else:
            assert all(f.text for f in report.findings)
        try:
            fixed = check(root, options=ReadOptions(scale_normalised=True))
            write_fixed(fixed, Path(place, "fixed"))
        except EdgeSegError:  # any other exception fails the test
            return
        again = check(Path(place, "fixed"))
        remaining = {f.kind for f in again.findings if f.severity == "error"}
        assert remaining <= {"nothing-left", "file"}
        if not remaining:
            train_on(Path(place, "fixed"))


@settings(max_examples=25, deadline=None)
@given(changed(labelme("1.png")))
def test_any_labelme_file(plain: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "in")
        write_images(root)
        (root / "1.json").write_text(json.dumps(plain))
        (root / "2.json").write_text(json.dumps(labelme("2.png")))
        findings = Findings()
        try:
            counts = import_dataset("labelme", root, Path(place, "out"), ImportOptions(), findings=findings)
        except EdgeSegError:
            assert not Path(place, "out").exists()
            return
        train_on(Path(place, "out"))
        if "duplicate" in {f.kind for f in findings}:
            return
        out = sum(counts[split]["instances"] for split in ("train", "val"))
        left_out = ("no-area", "no-pixels", "same-object", "ignored", "grouped", "hole")
        named = [f for f in findings if f.kind in left_out]
        shapes = plain.get("shapes", [])
        assert len(shapes) + 2 == out + len(named) or any(f.kind == "not-annotated" for f in findings)

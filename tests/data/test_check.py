"""``edge-seg data check`` finds what would stop or mislead a training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_seg.data.check import check

Coco = dict[str, Any]


def separate(root: Path, coco: Coco) -> None:
    """Leaves picture 2 to the validation split alone, so that nothing is shared."""
    first = {**coco, "images": coco["images"][:1]}
    second = {**coco, "images": coco["images"][1:], "annotations": []}
    (root / "train.json").write_text(json.dumps(first))
    (root / "val.json").write_text(json.dumps(second))


def test_a_good_set(write: Callable[..., Path], coco: Coco) -> None:
    root = write(coco)
    separate(root, coco)
    seen: list[tuple[int, int]] = []
    report = check(root, lambda *now: seen.append(now))
    assert report.problems == report.warnings == []
    assert report.splits["train"]["instances_per_class"] == {"cat": 1, "dog": 0}
    assert report.splits["val"]["empty_images"] == 1
    assert seen == [(1, 2), (2, 2)]


def test_all_bad_pictures_are_listed(write: Callable[..., Path], coco: Coco) -> None:
    root = write(coco)
    separate(root, coco)
    (root / "images/1.png").write_bytes(b"")
    cv2.imwrite(str(root / "images/2.png"), np.zeros((10, 10, 3), np.uint8))
    problems = check(root).problems
    assert len(problems) == 2
    assert "1.png" in problems[0]
    assert "10 x 10" in problems[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bbox": [60, 40, 10, 10]}, "outline is"),
        ({"bbox": [20, 10, 0, 30]}, "no area"),
        ({"segmentation": [[20.1, 10.1, 20.2, 10.1, 20.2, 10.2]]}, "no pixel"),
    ],
)
def test_doubtful_annotations_are_named(write: Callable[..., Path], coco: Coco, change: Coco, words: str) -> None:
    coco["annotations"][0].update(change)
    root = write(coco)
    separate(root, coco)
    (warning,) = check(root).warnings
    assert "annotation 1 (cat)" in warning
    assert words in warning


def test_pictures_in_both_splits_are_told(write: Callable[..., Path], coco: Coco) -> None:
    assert "2 pictures are in both splits" in check(write(coco)).warnings[-1]


def test_command(edge_seg: Callable[..., Any], write: Callable[..., Path], coco: Coco) -> None:
    root = write(coco)
    good = edge_seg("data", "check", root)
    assert good.returncode == 0, good.stderr
    assert "ready to be trained on" in good.stdout
    assert "1 cat, 0 dog" in good.stdout
    (root / "images/2.png").write_bytes(b"x")
    bad = edge_seg("data", "check", root, "--json")
    assert bad.returncode == 1
    answer = json.loads(bad.stdout)
    assert answer["ok"] is False
    assert "2.png" in answer["problems"][0]
    assert "2.png" in bad.stderr


@pytest.mark.parametrize("text", ["{", '{"images": [], "annotations": [], "categories": []}'])
def test_a_broken_file_is_one_message(
    edge_seg: Callable[..., Any], write: Callable[..., Path], coco: Coco, text: str
) -> None:
    root = write(coco)
    (root / "train.json").write_text(text)
    done = edge_seg("data", "check", root)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "train.json" in done.stderr
    assert "Traceback" not in done.stderr

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
    """Leaves image 2 to the validation split alone, so that nothing is shared."""
    first = {**coco, "images": coco["images"][:1]}
    second = {**coco, "images": coco["images"][1:], "annotations": []}
    (root / "train.json").write_text(json.dumps(first))
    (root / "val.json").write_text(json.dumps(second))


def test_a_good_set(write: Callable[..., Path], coco: Coco) -> None:
    root = write(coco)
    separate(root, coco)
    seen: list[tuple[int, int]] = []
    report = check(root, lambda *now: seen.append(now))
    assert report.ok
    assert [f.kind for f in report.findings] == ["few", "category-empty", "val-empty"]
    assert report.splits["train"].as_json()["instances_per_class"] == {"cat": 1, "dog": 0}
    assert report.splits["train"].as_json()["left_per_class"] == {"cat": 1, "dog": 0}
    assert report.splits["val"].as_json()["empty_images"] == 1
    assert seen == [(1, 2), (2, 2)]


def test_all_bad_images_are_listed(write: Callable[..., Path], coco: Coco) -> None:
    root = write(coco)
    separate(root, coco)
    (root / "images/1.png").write_bytes(b"")
    cv2.imwrite(str(root / "images/2.png"), np.zeros((10, 10, 3), np.uint8))
    problems = check(root).problems
    assert len(problems) == 2
    assert any("1.png: empty file" in problem for problem in problems)
    assert any("2.png" in problem and "10 x 10" in problem for problem in problems)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"bbox": [60, 40, 10, 10]}, "box", "of the outline [20.0, 10.0, 30.0, 30.0]"),
        ({"bbox": [20, 10, 0, 30]}, "box", "[20, 10, 0, 30]"),
        ({"segmentation": [[20.1, 10.1, 20.2, 10.1, 20.2, 10.2]]}, "no-pixels", "20.1"),
        ({"iscrowd": 1}, "crowd", "1 of 1"),
    ],
)
def test_doubtful_annotations_are_named(
    write: Callable[..., Path], coco: Coco, change: Coco, kind: str, words: str
) -> None:
    coco["annotations"][0].update(change)
    root = write(coco)
    separate(root, coco)
    (found,) = [f for f in check(root).findings if f.kind == kind]
    assert words in found.text


def test_images_in_both_splits_are_told_also_under_other_names(write: Callable[..., Path], coco: Coco) -> None:
    root = write(coco)
    assert len([f for f in check(root).findings if f.kind == "both-splits"]) == 2
    separate(root, coco)
    assert not [f for f in check(root).findings if f.kind == "both-splits"]
    pixels = cv2.imread(str(root / "images/1.png"))
    cv2.imwrite(str(root / "images/2.png"), pixels)  # other bytes, the same pixels
    (found,) = [f for f in check(root).findings if f.kind == "both-splits"]
    assert "1.png" in found.text
    assert "2.png" in found.text
    pixels[1, 1] ^= 1  # not among the pixels that are compared first
    cv2.imwrite(str(root / "images/2.png"), pixels)
    assert not [f for f in check(root).findings if f.kind == "both-splits"]


def test_what_is_left_at_the_networks_size(write: Callable[..., Path], coco: Coco) -> None:
    small = {"segmentation": [[5, 5, 8, 5, 8, 8, 5, 8]], "bbox": [5, 5, 3, 3], "area": 9}
    coco["annotations"].append({**coco["annotations"][0], "id": 2, **small})
    root = write(coco)
    separate(root, coco)
    whole = check(root, size=(320, 320)).splits["train"]
    assert whole.left.under == {1: 0, 4: 0, 16: 1}
    report = check(root, size=(32, 32))  # 80 x 60 becomes 32 x 24: 3 pixels are 1.2
    assert report.splits["train"].left.under == {1: 0, 4: 1, 16: 2}
    tiny = {
        **coco,
        "annotations": [{**coco["annotations"][1], "segmentation": [[5, 5, 7, 5, 7, 7, 5, 7]], "bbox": None}],
    }
    separate(root, tiny)
    report = check(root, size=(32, 32))
    assert not report.ok
    assert {"nothing-left", "vanish"} <= {f.kind for f in report.findings}
    assert report.splits["train"].left.vanished == {"cat": 1}


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
    assert {"kind", "severity", "file", "subject", "text", "image"} == set(answer["findings"][0])
    assert "2.png" in bad.stderr


@pytest.mark.parametrize("text", ["{", '{"images": [], "annotations": [], "categories": []}'])
def test_a_broken_file_is_one_message(
    edge_seg: Callable[..., Any], write: Callable[..., Path], coco: Coco, text: str
) -> None:
    root = write(coco)
    (root / "train.json").write_text(text)
    done = edge_seg("data", "check", root)
    assert done.returncode == 1
    assert "ready" not in done.stdout
    assert "train.json" in done.stderr
    assert "Traceback" not in done.stderr

"""A small COCO dataset, written as a test wants it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

WIDTH, HEIGHT = 80, 60
SQUARE = [[20, 10, 50, 10, 50, 40, 20, 40]]
Coco = dict[str, Any]


def annotation(number: int = 1, image_id: int = 1, **changes: Any) -> Coco:
    whole = {"id": number, "image_id": image_id, "category_id": 7, "bbox": [20, 10, 30, 30], "area": 900, "iscrowd": 0}
    return {**whole, "segmentation": SQUARE, **changes}


@pytest.fixture
def coco() -> Coco:
    """Two images: one with a square of category 7 ("cat"), one with nothing."""
    images = [{"id": i, "file_name": f"{i}.png", "width": WIDTH, "height": HEIGHT} for i in (1, 2)]
    categories = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]
    return {"images": images, "annotations": [annotation()], "categories": categories}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """``write(coco)`` makes a dataset folder: images of noise with the sizes that ``coco`` states, train = val."""

    def write(coco: Coco, folder: str = "set", images: str = "images") -> Path:
        root = tmp_path / folder
        (root / images).mkdir(parents=True)
        rng = np.random.default_rng(0)
        for image in coco["images"]:
            pixels = rng.integers(0, 256, (image["height"], image["width"], 3), dtype=np.uint8)
            cv2.imwrite(str(root / images / image["file_name"]), pixels)
        for split in ("train", "val"):
            (root / f"{split}.json").write_text(json.dumps(coco))
        return root

    return write

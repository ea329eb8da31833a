"""What was found, for annotation tools."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from edge_seg.runtime.formats import write_formats
from edge_seg.runtime.predict import Done, ImageFile
from edge_seg.runtime.result import Instances

HEIGHT, WIDTH = 60, 80
CLASSES, IDS = ("cat", "dog"), (7, 3)


def masks() -> list[np.ndarray]:
    """A disc, a ring, two squares that are one object, and one without a pixel."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    disc = (x - 20) ** 2 + (y - 20) ** 2 < 150
    ring = ((x - 55) ** 2 + (y - 30) ** 2 < 300) & ((x - 55) ** 2 + (y - 30) ** 2 > 60)
    squares = np.zeros((HEIGHT, WIDTH), bool)
    squares[40:50, 5:15] = squares[40:50, 20:30] = True
    return [disc, ring, squares, np.zeros((HEIGHT, WIDTH), bool)]


@pytest.fixture
def done(tmp_path: Path) -> list[Done]:
    """Two images of one name in two folders: objects in the first, none in the second."""
    found = []
    for number, folder in enumerate(("a", "b"), 1):
        file = tmp_path / folder / "photo.png"
        file.parent.mkdir()
        cv2.imwrite(str(file), np.full((HEIGHT, WIDTH, 3), number, np.uint8))
        drawn = masks() if number == 1 else []
        instances = Instances(
            HEIGHT,
            WIDTH,
            np.array([[0, 0, 9, 9]] * len(drawn), np.float32).reshape(-1, 4),
            np.linspace(0.9, 0.6, len(drawn), dtype=np.float32),
            np.arange(len(drawn), dtype=np.int64) % 2,
            [coco_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in drawn],
        )
        found.append(Done(ImageFile(number, file, str(file), tmp_path / "x.png"), instances, 1.0))
    return found


def test_coco(done: list[Done], tmp_path: Path) -> None:
    (file,) = write_formats(["coco"], done, tmp_path / "out", CLASSES, IDS)
    plain = json.loads(file.read_text())
    assert [image["id"] for image in plain["images"]] == [1, 2]
    assert [one["category_id"] for one in plain["annotations"]] == [7, 3, 7]
    for one, mask in zip(plain["annotations"], masks(), strict=False):
        np.testing.assert_array_equal(coco_mask.decode(one["segmentation"]) > 0, mask)
        assert one["area"] == mask.sum()
        assert 0 < one["score"] < 1


def test_polygons_are_exact(done: list[Done], tmp_path: Path) -> None:
    (file,) = write_formats(["polygons"], done, tmp_path / "out", CLASSES, IDS)
    first, second = map(json.loads, file.read_text().splitlines())
    assert second["objects"] == []
    for one, mask in zip(first["objects"], masks(), strict=False):
        drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
        for polygon in one["polygons"]:  # even-odd: a hole takes away
            drawn ^= coco_mask.decode(coco_mask.frPyObjects([polygon], HEIGHT, WIDTH))[:, :, 0]
        np.testing.assert_array_equal(drawn > 0, mask)


def test_png(done: list[Done], tmp_path: Path) -> None:
    (folder,) = write_formats(["png"], done, tmp_path / "out", CLASSES, IDS)
    told = json.loads((folder / "objects.json").read_text())
    assert sorted(told) == ["photo-2.png", "photo.png"]
    numbers = cv2.imread(str(folder / "photo.png"), cv2.IMREAD_UNCHANGED)
    assert numbers.dtype == np.uint16
    assert [one["class"] for one in told["photo.png"]["objects"]] == ["cat", "dog", "cat"]
    for number, mask in enumerate(masks()[:3], 1):
        np.testing.assert_array_equal(numbers == number, mask)


def test_labelme_comes_back_as_a_data_set(done: list[Done], tmp_path: Path) -> None:
    from edge_seg.data.coco import load_splits
    from edge_seg.data.formats.convert import ImportOptions, import_dataset
    from edge_seg.data.outline import decode

    for _ in range(2):  # what stands there is replaced
        (folder,) = write_formats(["labelme"], done, tmp_path / "out", CLASSES, IDS)
    plain = json.loads((folder / "photo.json").read_text())
    assert [shape["shape_type"] for shape in plain["shapes"]] == ["polygon", "mask", "polygon", "polygon"]
    assert "score 0.900" in plain["shapes"][0]["description"]
    import_dataset("labelme", folder, tmp_path / "set", ImportOptions(classes=CLASSES))
    records = [record for split in load_splits(tmp_path / "set") for record in split.images]
    back = next(record for record in records if record.annotations)
    found = [decode(a.segmentation, HEIGHT, WIDTH) > 0 for a in back.annotations]
    for mask in masks()[:3]:
        assert max(np.sum(mask & other) / np.sum(mask | other) for other in found) > 0.9

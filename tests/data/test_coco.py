"""COCO files: what is read, what is refused."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from edge_seg.data.coco import decode, load_split, load_splits
from edge_seg.errors import DataError
from edge_seg.runtime.rle import run_lengths

Write = Callable[..., Path]
Coco = dict[str, Any]
SQUARE: list[Any] = [[20, 10, 50, 10, 50, 40, 20, 40]]


def square_mask() -> np.ndarray:
    mask = np.zeros((60, 80), np.uint8)
    mask[10:40, 20:50] = 1
    return mask


def compressed(mask: np.ndarray) -> Coco:
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": list(mask.shape), "counts": rle["counts"].decode()}


def uncompressed(mask: np.ndarray) -> Coco:
    flat = mask.flatten(order="F")
    ends = np.flatnonzero(np.diff(flat, prepend=0, append=1 - flat[-1]))
    return {"size": list(mask.shape), "counts": np.diff(ends, prepend=0).tolist()}


def test_what_the_file_says(write: Write, coco: Coco) -> None:
    coco["annotations"].append({**coco["annotations"][0], "id": 2, "category_id": 3, "iscrowd": 1})
    dataset = load_split(write(coco), "train")
    assert dataset.classes == ("cat", "dog")
    assert dataset.category_ids == (7, 3)
    first, second = dataset.images
    assert (first.id, first.width, first.height) == (1, 80, 60)
    assert [a.label for a in first.annotations] == [0, 1]
    assert [a.crowd for a in first.annotations] == [False, True]
    assert first.annotations[0].box == (20.0, 10.0, 50.0, 40.0)
    assert second.annotations == ()


@pytest.mark.parametrize("form", ["polygon", "uncompressed", "compressed"])
def test_every_form_of_outline_gives_the_same_mask(write: Write, coco: Coco, form: str) -> None:
    if form != "polygon":
        make = {"uncompressed": uncompressed, "compressed": compressed}[form]
        coco["annotations"][0]["segmentation"] = make(square_mask())
    annotation = load_split(write(coco), "val").images[0].annotations[0]
    np.testing.assert_array_equal(decode(annotation.segmentation, 60, 80), square_mask())


def test_compressed_run_lengths_are_read_as_pycocotools_does() -> None:
    rng = np.random.default_rng(0)
    for density in (0.0, 0.001, 0.02, 0.5, 1.0):
        mask = (rng.random((211, 173)) < density).astype(np.uint8)
        lengths = run_lengths(compressed(mask)["counts"].encode())
        assert lengths is not None
        assert lengths.tolist() == uncompressed(mask)["counts"]
    assert run_lengths("a\u20acb".encode()) is None
    assert run_lengths(b"P") is None  # a number that goes on where the string ends


@pytest.mark.parametrize("folder", ["images", "JPEGImages", "."])
def test_images_are_found_where_people_put_them(write: Write, coco: Coco, folder: str) -> None:
    root = write(coco, images=folder)
    assert load_split(root, "train").images[0].path == root / folder / "1.png"


def test_cocos_own_layout(write: Write, coco: Coco) -> None:
    root = write(coco, images="train2017")
    (root / "annotations").mkdir()
    (root / "train.json").rename(root / "annotations/instances_train2017.json")
    (root / "val.json").rename(root / "annotations/instances_val2017.json")
    shutil.copytree(root / "train2017", root / "val2017")
    for dataset, folder in zip(load_splits(root), ("train2017", "val2017"), strict=True):
        assert [record.path for record in dataset.images] == [root / folder / "1.png", root / folder / "2.png"]


def _without(coco: Coco, part: str, name: str) -> None:
    del coco[part][0][name]


def _set(coco: Coco, part: str, **values: Any) -> None:
    coco[part][0].update(values)


BROKEN: dict[str, tuple[Callable[[Coco], Any], tuple[str, ...]]] = {
    "unknown category": (lambda c: _set(c, "annotations", category_id=9), ("annotation 1", "category_id", "9")),
    "unknown image": (lambda c: _set(c, "annotations", image_id=5), ("annotation 1", "image_id", "5")),
    "image id as list": (lambda c: _set(c, "annotations", image_id=[1]), ("annotation 1", "image_id", "[1]")),
    "missing image": (lambda c: _set(c, "images", file_name="no.png"), ("image 1", "no.png")),
    "no file name": (lambda c: _without(c, "images", "file_name"), ("image 1", "file_name")),
    "two images, one id": (lambda c: _set(c, "images", id=2), ("images[1]", "2")),
    "two categories, one id": (lambda c: _set(c, "categories", id=3), ("categories[1]", "3")),
    "category without name": (lambda c: _without(c, "categories", "name"), ("category 7", "name")),
    "no category": (lambda c: c["categories"].clear(), ("categories",)),
    "no image": (lambda c: (c["images"].clear(), c["annotations"].clear()), ("images",)),
    "annotation is a number": (lambda c: c["annotations"].append(3), ("annotations[1]", "3")),
    "annotations is an object": (lambda c: c.update(annotations={}), ("annotations",)),
    "no outline": (lambda c: _without(c, "annotations", "segmentation"), ("annotation 1", "segmentation")),
    "empty outline": (lambda c: _set(c, "annotations", segmentation=[]), ("annotation 1", "segmentation")),
    "two points": (lambda c: _set(c, "annotations", segmentation=[[1, 2, 3, 4]]), ("annotation 1", "three points")),
    "odd number": (lambda c: _set(c, "annotations", segmentation=[[1] * 7]), ("annotation 1", "pairs", "7 numbers")),
    "point far away": (lambda c: _set(c, "annotations", segmentation=[[1, 1, 9e9, 1, 9, 9]]), ("annotation 1", "80 x")),
    "crowd 2": (lambda c: _set(c, "annotations", iscrowd=2), ("annotation 1", "iscrowd", "2")),
    "runs of another size": (
        lambda c: _set(c, "annotations", segmentation={"size": [80, 60], "counts": [4800]}),
        ("annotation 1", "size", "[60, 80]", "[80, 60]"),
    ),
    "runs too long": (
        lambda c: _set(c, "annotations", segmentation={"size": [60, 80], "counts": [4000, 4000]}),
        ("annotation 1", "counts", "4800"),
    ),
    "compressed runs too long": (
        lambda c: _set(c, "annotations", segmentation={"size": [60, 80], "counts": "oooooooo0"}),
        ("annotation 1", "counts"),
    ),
    "runs not compressed so": (
        lambda c: _set(c, "annotations", segmentation={"size": [60, 80], "counts": "a b"}),
        ("annotation 1", "counts", "'a b'"),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_named(write: Write, coco: Coco, case: str) -> None:
    root = write(coco)
    broken = copy.deepcopy(coco)
    change, words = BROKEN[case]
    change(broken)
    (root / "train.json").write_text(json.dumps(broken))
    with pytest.raises(DataError) as caught:
        load_split(root, "train")
    for word in (str(root / "train.json"), *words):
        assert word in caught.value.message


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"images": [', "line 1"),
        ("[]", "images"),
        ("", "invalid JSON"),
        ('{"images": [NaN], "annotations": [], "categories": []}', "nan"),
        ("\udcff", "UTF-8"),
    ],
)
def test_what_is_not_a_coco_file_is_refused(write: Write, coco: Coco, text: str, word: str) -> None:
    root = write(coco)
    (root / "train.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=word):
        load_split(root, "train")


def test_folders_without_a_dataset_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        load_split(tmp_path / "none", "train")
    with pytest.raises(DataError, match=r"train\.json"):
        load_split(tmp_path, "train")


def test_val_takes_the_categories_of_train_by_name(write: Write, coco: Coco) -> None:
    root = write(coco)
    few = {**coco, "categories": [{"id": 3, "name": "cat"}]}
    few["annotations"] = [{**coco["annotations"][0], "category_id": 3}]
    (root / "val.json").write_text(json.dumps(few))
    train, val = load_splits(root)
    assert val.classes == train.classes == ("cat", "dog")
    assert val.category_ids == (7, 3)
    assert val.images[0].annotations[0].label == 0
    assert [f.kind for f in val.findings] == ["category-order"]


def test_a_class_that_only_val_has_is_refused(write: Write, coco: Coco) -> None:
    root = write(coco)
    other = {**coco, "categories": [{"id": 7, "name": "bird"}]}
    (root / "val.json").write_text(json.dumps(other))
    with pytest.raises(DataError, match=r"val\.json: categories: .*'bird'"):
        load_splits(root)
    other["annotations"] = []
    (root / "val.json").write_text(json.dumps(other))
    assert load_splits(root)[1].classes == ("cat", "dog")


MENDED: dict[str, tuple[Callable[[Coco], Any], str | None]] = {
    "image id as text": (lambda c: _set(c, "annotations", image_id="1"), None),
    "category id as 7.0": (lambda c: _set(c, "categories", id=7.0), None),
    "no width": (lambda c: _without(c, "images", "width"), "size-read"),
    "width as text": (lambda c: _set(c, "images", width="80"), None),
    "width as 80.0": (lambda c: _set(c, "images", width=80.0), None),
    "no annotation id": (lambda c: _without(c, "annotations", "id"), "new-ids"),
    "annotation id as a word": (lambda c: _set(c, "annotations", id="a-1"), "new-ids"),
    "crowd null": (lambda c: _set(c, "annotations", iscrowd=None), None),
    "no box": (lambda c: _without(c, "annotations", "bbox"), "box"),
    "box of three": (lambda c: _set(c, "annotations", bbox=[1, 2, 3]), "box"),
    "box of zeros": (lambda c: _set(c, "annotations", bbox=[0, 0, 0, 0]), "box"),
    "negative box": (lambda c: _set(c, "annotations", bbox=[1, 2, -3, 4]), "box"),
    "box of a huge number": (lambda c: _set(c, "annotations", bbox=[1, 2, 10**400, 4]), "box"),
    "box elsewhere": (lambda c: _set(c, "annotations", bbox=[90, 2, 3, 4]), "box"),
    "box of corners": (lambda c: _set(c, "annotations", bbox=[20, 10, 50, 40]), "box"),
    "negative area": (lambda c: _set(c, "annotations", area=-1), "area"),
    "area 0": (lambda c: _set(c, "annotations", area=0), "area"),
    "no area": (lambda c: _without(c, "annotations", "area"), None),
    "flat outline": (lambda c: _set(c, "annotations", segmentation=SQUARE[0]), None),
    "pairs": (lambda c: _set(c, "annotations", segmentation=[[[20, 10], [50, 10], [50, 40], [20, 40]]]), None),
    "a part of two points": (lambda c: c["annotations"][0]["segmentation"].append([1, 2, 3, 4]), "outline-parts"),
    "parts of the size": (
        lambda c: _set(
            c, "annotations", segmentation=[[20 / 80, 10 / 60, 50 / 80, 10 / 60, 50 / 80, 40 / 60, 20 / 80, 40 / 60]]
        ),
        "outline-scaled",
    ),
    "the same again": (lambda c: c["annotations"].append({**c["annotations"][0], "id": 2}), "same-object"),
    "the same id again": (lambda c: c["annotations"].append({**c["annotations"][0]}), "new-ids"),
}


@pytest.mark.parametrize("case", MENDED)
def test_what_can_be_mended_is_and_told(write: Write, coco: Coco, case: str) -> None:
    root = write(coco)
    broken = copy.deepcopy(coco)
    change, kind = MENDED[case]
    change(broken)
    (root / "train.json").write_text(json.dumps(broken))
    dataset = load_split(root, "train")
    first = dataset.images[0]
    assert (first.width, first.height) == (80, 60)
    assert len(first.annotations) == 1
    one = first.annotations[0]
    assert (one.label, one.box, one.area, one.crowd) == (0, (20.0, 10.0, 50.0, 40.0), 900.0, False)
    np.testing.assert_array_equal(decode(one.segmentation, 60, 80), square_mask())
    kinds = [f.kind for f in dataset.findings]
    assert kinds == ([] if kind is None else [kind]) or (
        case == "the same id again" and set(kinds) == {kind, "same-object"}
    )


def test_all_faults_come_in_one_run(write: Write, coco: Coco) -> None:
    root = write(coco)
    first = coco["annotations"][0]
    coco["annotations"] = [
        {**first, "bbox": None},
        {**first, "id": 2, "category_id": 9},
        {**first, "id": 3, "segmentation": []},
        {**first, "id": 4, "image_id": 99},
        {**first, "id": 5, "segmentation": [[float("nan")] * 6]},
    ]
    coco["images"].append({"id": 3, "file_name": "gone.png", "width": 1, "height": 1})
    (root / "train.json").write_text(json.dumps(coco))
    with pytest.raises(DataError) as caught:
        load_split(root, "train")
    for word in ("annotation 2", "annotation 3", "annotation 4", "annotation 5", "gone.png"):
        assert word in caught.value.message
    assert "annotation 1" not in caught.value.message


def test_entries_of_one_image_are_put_together(write: Write, coco: Coco) -> None:
    coco["images"][1]["file_name"] = "1.png"
    other = [[60, 10, 70, 10, 70, 20]]
    coco["annotations"].append(
        {**coco["annotations"][0], "id": 2, "image_id": 2, "segmentation": other, "bbox": None, "area": 50}
    )
    dataset = load_split(write(coco), "train")
    (record,) = dataset.images
    assert (record.id, len(record.annotations)) == (1, 2)
    assert [f.kind for f in dataset.findings] == ["box", "image-twice"]


def test_entries_of_one_image_that_disagree_are_refused(write: Write, coco: Coco) -> None:
    root = write(coco)
    coco["images"][1] |= {"file_name": "1.png", "width": 40}
    (root / "train.json").write_text(json.dumps(coco))
    with pytest.raises(DataError, match=r"1\.png"):
        load_split(root, "train")


def test_an_outline_over_the_edge_is_cut_as_a_polygon(write: Write, coco: Coco) -> None:
    coco["annotations"][0] |= {"segmentation": [[-80, 30, 80, 0, 80, 60]], "bbox": [-80, 0, 160, 60], "area": None}
    dataset = load_split(write(coco), "train")
    (one,) = dataset.images[0].annotations
    # The whole triangle has 4800; the part inside is a trapezoid of 30 and 60 by 80. Moving its vertex gives 2400.
    assert one.area == pytest.approx(3600, abs=40)
    assert one.box == (0.0, 0.0, 80.0, 60.0)
    assert decode(one.segmentation, 60, 80).sum() == pytest.approx(3600, abs=40)
    assert [f.kind for f in dataset.findings] == ["outline-cut"]


def test_ground_truth_has_what_pycocotools_needs(write: Write, coco: Coco, capfd: pytest.CaptureFixture[str]) -> None:
    entry = coco["annotations"][0]
    del entry["area"], entry["iscrowd"]
    entry["id"] = 0
    coco["annotations"].append({**entry, "id": 5, "iscrowd": 1})
    dataset = load_split(write(coco), "val")
    truth = dataset.ground_truth()
    first, crowd = truth.loadAnns(truth.getAnnIds())
    assert first["id"] > 0
    assert first["area"] == 900
    assert (first["iscrowd"], crowd["iscrowd"]) == (0, 1)
    assert first["category_id"] == 7
    assert dataset.ground_truth(dataset.images[1:]).getImgIds() == [2]
    assert capfd.readouterr().out == ""

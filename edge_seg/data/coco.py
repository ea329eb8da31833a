"""A COCO instance file and its pictures, read and checked before anything is computed with them.

Two layouts are taken, for each split ``train`` and ``val``: ``DIR/train.json``, and COCO's own
``DIR/annotations/instances_train2017.json``. Pictures lie in one of ``PICTURE_FOLDERS``, whichever has them.

Boxes are (x0, y0, x1, y1) in pixels of the picture, pixel (0, 0) covering 0..1. A label is a category's place, from 0,
in the file's list of categories.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from edge_seg.data.rle import decompress
from edge_seg.errors import DataError
from edge_seg.files import read_json

if TYPE_CHECKING:
    from pycocotools.coco import COCO

SPLITS = ("train", "val")
ANNOTATION_FILES = ("{split}.json", "annotations/instances_{split}2017.json", "annotations/{split}.json")
LONGEST_SIDE = 65_535
PICTURE_FOLDERS = ("images", "JPEGImages", "{split}2017", "images/{split}2017", ".")


@dataclass(frozen=True)
class Annotation:
    """One object. ``segmentation`` is as in the file: polygons [[x, y, …], …] or run lengths {"size", "counts"}."""

    id: int
    label: int
    box: tuple[float, float, float, float]
    area: float
    crowd: bool
    segmentation: Any


@dataclass(frozen=True)
class ImageRecord:
    """One picture: where it lies, its size in pixels as the COCO file states it, and what is in it (maybe nothing)."""

    id: int
    path: Path
    width: int
    height: int
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True)
class CocoDataset:
    """One split. ``classes`` and ``category_ids`` are in the order of the labels."""

    coco_json: Path
    images: tuple[ImageRecord, ...]
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.images)

    def ground_truth(self, images: Iterable[ImageRecord] | None = None) -> COCO:
        """What pycocotools evaluates against, crowds included; of all pictures, or of those given.

        Annotations are numbered anew from 1: pycocotools takes a match with annotation 0 for no match at all. ``area``
        and ``iscrowd``, which it needs, are there even where the file leaves them out.
        """
        from pycocotools.coco import COCO

        records = self.images if images is None else tuple(images)
        annotations = [(record, annotation) for record in records for annotation in record.annotations]
        coco = COCO()
        coco.dataset = {
            "images": [{"id": r.id, "file_name": r.path.name, "width": r.width, "height": r.height} for r in records],
            "categories": [{"id": i, "name": n} for i, n in zip(self.category_ids, self.classes, strict=True)],
            "annotations": [
                {
                    "id": number,
                    "image_id": record.id,
                    "category_id": self.category_ids[a.label],
                    "bbox": [a.box[0], a.box[1], a.box[2] - a.box[0], a.box[3] - a.box[1]],
                    "area": a.area,
                    "iscrowd": int(a.crowd),
                    "segmentation": a.segmentation,
                }
                for number, (record, a) in enumerate(annotations, start=1)
            ],
        }
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
        return coco


def load_split(folder: Path, split: str) -> CocoDataset:
    """Reads ``split`` ("train" or "val") of the dataset in ``folder``.

    Raises :class:`DataError`, naming file, annotation and value, when the COCO file is missing or not one, a picture is
    missing, or an annotation speaks of an unknown category or picture or has a box or outline that can't be.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", remedy="give the folder that holds train.json and val.json")
    names = [name.format(split=split) for name in ANNOTATION_FILES]
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    if file is None:
        raise DataError(
            f"{folder}: holds no annotations for {split!r}; looked for {', '.join(names)}",
            remedy="put a COCO file there, or make one: `edge-seg data labelme` converts, `edge-seg data synth` draws",
        )
    return load_file(file, [folder / name.format(split=split) for name in PICTURE_FOLDERS])


def load_splits(folder: Path) -> tuple[CocoDataset, CocoDataset]:
    """Train and validation split; raises :class:`DataError` also when they don't have the same categories."""
    train, val = (load_split(folder, split) for split in SPLITS)
    mine, theirs = (dict(zip(d.category_ids, d.classes, strict=True)) for d in (train, val))
    if mine != theirs or train.category_ids != val.category_ids:
        raise DataError(
            f"{val.coco_json}: its categories {theirs} differ from {mine} in {train.coco_json.name}",
            remedy="give both files the same list of categories, in the same order",
        )
    return train, val


def load_file(file: Path, folders: Sequence[Path]) -> CocoDataset:
    """Reads one COCO file whose pictures lie in one of ``folders``; raises as :func:`load_split`."""
    plain = read_json(file, DataError)
    if not isinstance(plain, dict):
        _fail(file, "the file", "an object with images, annotations and categories", plain)
    for part in ("images", "annotations", "categories"):
        if not isinstance(plain.get(part), list):
            _fail(file, part, "a list", plain.get(part, "nothing"))
    categories = _categories(file, plain["categories"])
    pictures = _pictures(file, plain["images"], folders)
    labels = {category: label for label, category in enumerate(categories)}
    found: dict[int, list[Annotation]] = {image_id: [] for image_id in pictures}
    seen: set[int] = set()
    for position, entry in enumerate(plain["annotations"]):
        annotation_id = _identifier(file, entry, f"annotations[{position}]", seen)
        where = f"annotation {annotation_id}"
        image_id = entry.get("image_id")
        if not _is_int(image_id) or image_id not in pictures:
            _fail(file, f"{where}: image_id", "the id of a picture in the same file", image_id)
        category_id = entry.get("category_id")
        if not _is_int(category_id) or category_id not in labels:
            _fail(file, f"{where}: unknown category_id", f"one of {sorted(labels)}", category_id)
        found[image_id].append(_annotation(file, entry, where, labels[category_id], pictures[image_id]))
    images = tuple(
        ImageRecord(image_id, path, width, height, tuple(found[image_id]))
        for image_id, (path, width, height) in pictures.items()
    )
    return CocoDataset(file, images, tuple(categories.values()), tuple(categories))


def decode(segmentation: Any, height: int, width: int) -> NDArray[np.uint8]:
    """Polygons or run lengths as uint8[height, width] of 0 and 1."""
    if isinstance(segmentation, list):
        rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        rle = coco_mask.frPyObjects(segmentation, height, width)
    else:
        rle = segmentation
    return np.asarray(coco_mask.decode(rle), np.uint8)


def _fail(file: Path, what: str, expected: str, found: Any) -> NoReturn:
    shown = repr(found)
    raise DataError(
        f"{file}: {what}: expected {expected}, found {shown if len(shown) <= 80 else shown[:77] + '...'}",
        remedy="mend it in the file, or export the annotations again",
    )


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    # abs() and not math.isfinite(), which fails on a whole number too large for a float.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _identifier(file: Path, entry: Any, where: str, seen: set[int]) -> int:
    """The entry's ``id``, which must be new; it is added to ``seen``."""
    if not isinstance(entry, dict):
        _fail(file, where, "an object", entry)
    number = entry.get("id")
    if not _is_int(number):
        _fail(file, f"{where}.id", "a whole number", number)
    if number in seen:
        _fail(file, f"{where}.id", "an id used only once", number)
    assert isinstance(number, int)
    seen.add(number)
    return number


def _categories(file: Path, entries: list[Any]) -> dict[int, str]:
    categories: dict[int, str] = {}
    seen: set[int] = set()
    for position, entry in enumerate(entries):
        number = _identifier(file, entry, f"categories[{position}]", seen)
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            _fail(file, f"category {number}: name", "a name", name)
        categories[number] = name
    if not categories:
        _fail(file, "categories", "at least one", entries)
    return categories


def _pictures(file: Path, entries: list[Any], folders: Sequence[Path]) -> dict[int, tuple[Path, int, int]]:
    """Image id → path, width, height. The folder that had the last picture is tried first for the next."""
    pictures: dict[int, tuple[Path, int, int]] = {}
    order = list(folders)
    seen: set[int] = set()
    for position, entry in enumerate(entries):
        number = _identifier(file, entry, f"images[{position}]", seen)
        name = entry.get("file_name")
        if not isinstance(name, str) or not name:
            _fail(file, f"image {number}: file_name", "a file name", name)
        for side in ("width", "height"):
            if not _is_int(entry.get(side)) or not 1 <= entry[side] <= LONGEST_SIDE:
                _fail(
                    file, f"image {number} ({name}): {side}", f"a size in pixels, 1 to {LONGEST_SIDE}", entry.get(side)
                )
        here = next((f for f in order if (f / name).is_file()), None)
        if here is None:
            raise DataError(
                f"{file}: image {number}: no picture {name!r} in {', '.join(str(f) for f in folders if f.is_dir())}",
                remedy="copy the picture there, or take it out of the COCO file",
            )
        order.sort(key=lambda folder: folder != here)
        pictures[number] = (here / name, entry["width"], entry["height"])
    if not pictures:
        _fail(file, "images", "at least one picture", entries)
    return pictures


def _annotation(
    file: Path, entry: dict[str, Any], where: str, label: int, picture: tuple[Path, int, int]
) -> Annotation:
    _, width, height = picture
    bbox = entry.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_number, bbox)) or min(bbox[2:]) < 0:
        _fail(file, f"{where}: bbox", "[x, y, width, height] in pixels", bbox)
    x0, y0 = max(0.0, bbox[0]), max(0.0, bbox[1])
    x1, y1 = min(float(width), bbox[0] + bbox[2]), min(float(height), bbox[1] + bbox[3])
    if x0 > x1 or y0 > y1:
        _fail(file, f"{where}: bbox", f"a box inside the picture, which is {width} x {height} pixels", bbox)
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        _fail(file, f"{where}: iscrowd", "0 or 1", crowd)
    segmentation = entry.get("segmentation")
    if isinstance(segmentation, dict):
        _check_rle(file, f"{where}: segmentation", segmentation, width, height)
    else:
        _check_polygons(file, f"{where}: segmentation", segmentation, width, height)
    area = entry.get("area")
    if area is None:
        area = float(decode(segmentation, height, width).sum())
    elif not _is_number(area) or area < 0:
        _fail(file, f"{where}: area", "a number of pixels", area)
    return Annotation(entry["id"], label, (x0, y0, x1, y1), float(area), bool(crowd), segmentation)


def _check_polygons(file: Path, where: str, polygons: Any, width: int, height: int) -> None:
    """Points may lie outside, as in real sets, but not far: pycocotools walks along the whole outline."""
    if not isinstance(polygons, list) or not polygons:
        _fail(file, where, "polygons [[x, y, x, y, …], …] or run lengths {size, counts}", polygons)
    for number, polygon in enumerate(polygons):
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2 or not all(map(_is_number, polygon)):
            _fail(file, f"{where}[{number}]", "[x, y, x, y, …] with at least three points", polygon)
        for values, side in ((polygon[::2], width), (polygon[1::2], height)):
            if min(values) < -side or max(values) > 2 * side:
                _fail(file, f"{where}[{number}]", f"points in the picture, which is {width} x {height} pixels", polygon)


def _check_rle(file: Path, where: str, rle: dict[str, Any], width: int, height: int) -> None:
    """pycocotools writes past its memory when run lengths don't fit the size: they are checked before it sees them."""
    if rle.get("size") != [height, width]:
        _fail(file, f"{where}.size", f"the picture's [height, width], [{height}, {width}]", rle.get("size"))
    counts = rle.get("counts")
    if isinstance(counts, str):
        lengths = decompress(counts)
        if lengths is None:
            _fail(file, f"{where}.counts", "a string of COCO's compressed run lengths", counts)
    elif isinstance(counts, list) and all(map(_is_int, counts)):
        lengths = counts
    else:
        _fail(file, f"{where}.counts", "a list of whole numbers or a compressed string", counts)
    if min(lengths, default=-1) < 0 or sum(lengths) != width * height:
        _fail(file, f"{where}.counts", f"run lengths that add up to {width} x {height} = {width * height}", counts)

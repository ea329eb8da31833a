"""What a model found, in the forms that annotation tools read: to be corrected there, and trained on."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_seg.files import atomic_file, write_json, write_text
from edge_seg.runtime.result import Instances
from edge_seg.runtime.trace import Loop, trace

if TYPE_CHECKING:
    from edge_seg.runtime.predict import Done

FORMATS = {
    "coco": "annotations.json, a COCO file with a score for each object",
    "labelme": "labelme/, a JSON file beside each image",
    "polygons": "polygons.jsonl, a line for each image",
    "png": "masks/, a 16-bit PNG of object numbers for each image, and objects.json",
}
TOLERANCE = 0.75
"""Polygons for labelme leave the edges of the mask's pixels by up to so many pixels, to have few points to drag."""
MOST_OBJECTS = 65_535


def write_formats(
    kinds: Sequence[str], done: Sequence[Done], out: Path, classes: tuple[str, ...], category_ids: tuple[int, ...]
) -> list[Path]:
    """Writes what was found in each of these forms (keys of ``FORMATS``) into ``out``; returns what was written."""
    found = [(item, item.found) for item in done if item.found is not None]
    written = []
    for kind in dict.fromkeys(kinds):
        if kind == "coco":
            written.append(out / "annotations.json")
            write_json(written[-1], _coco(found, classes, category_ids))
        elif kind == "polygons":
            written.append(out / "polygons.jsonl")
            write_text(written[-1], "".join(json.dumps(_polygons(*one, classes)) + "\n" for one in found))
        elif kind == "labelme":
            written.append(out / "labelme")
            _write_labelme(found, written[-1], classes)
        else:
            written.append(out / "masks")
            _write_masks(found, written[-1], classes)
    return written


def _coco(
    found: list[tuple[Done, Instances]], classes: tuple[str, ...], category_ids: tuple[int, ...]
) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for item, instances in found:
        for one, mask in zip(instances.to_coco(item.image.image_id, category_ids), instances.masks, strict=True):
            whole = {"id": len(annotations) + 1, **one, "area": int(mask.sum()), "iscrowd": 0}
            if mask.any():
                annotations.append(whole)
    return {
        "images": [
            {"id": item.image.image_id, "file_name": item.image.name, "width": one.width, "height": one.height}
            for item, one in found
        ],
        "annotations": annotations,
        "categories": [{"id": i, "name": n} for i, n in zip(category_ids, classes, strict=True)],
    }


def _polygons(item: Done, instances: Instances, classes: tuple[str, ...]) -> dict[str, Any]:
    objects = [
        {
            "class": classes[label],
            "score": round(score, 4),
            # Holes are polygons as well; they run counterclockwise.
            "polygons": [[value for point in loop for value in point] for loop in trace(mask)],
        }
        for label, score, mask in _each(instances)
    ]
    sides = {"width": instances.width, "height": instances.height}
    return {"image_id": item.image.image_id, "file_name": item.image.name, **sides, "objects": objects}


def _each(instances: Instances) -> Iterator[tuple[int, float, NDArray[np.bool_]]]:
    """Class, score and mask of each object that has a pixel."""
    for label, score, mask in zip(instances.classes.tolist(), instances.scores.tolist(), instances.masks, strict=True):
        if mask.any():
            yield label, score, mask


def _write_labelme(found: list[tuple[Done, Instances]], folder: Path, classes: tuple[str, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    for item, instances in found:
        stem = _free_stem(item.image.file.stem, taken)
        name = stem + item.image.file.suffix
        _place(item.image.file, folder / name)
        shapes = [
            shape
            for group, (label, score, mask) in enumerate(_each(instances), 1)
            for shape in _shapes(mask, classes[label], group, score)
        ]
        write_json(folder / f"{stem}.json", labelme_file(shapes, name, instances.height, instances.width))


def _shapes(mask: NDArray[np.bool_], label: str, group: int, score: float) -> list[dict[str, Any]]:
    """Polygons where the object has no hole, else a mask; ``description`` holds the score."""
    loops = trace(mask)
    told = {"description": f"score {score:.3f}"}
    polygons = [] if any(_is_hole(loop) for loop in loops) else [_simple(loop) for loop in loops]
    if not polygons or min(map(len, polygons)) < 3:
        return [labelme_mask(label, mask.astype(np.uint8), **told)]
    joined = group if len(polygons) > 1 else None
    return [labelme_shape(label, "polygon", points, joined, **told) for points in polygons]


def _is_hole(loop: Loop) -> bool:
    return cv2.contourArea(np.array(loop, np.float32), oriented=True) < 0


def _simple(loop: Loop) -> list[list[float]]:
    points = cv2.approxPolyDP(np.array(loop, np.int32), TOLERANCE, closed=True).reshape(-1, 2).tolist()
    return [[float(x), float(y)] for x, y in points]


def labelme_file(shapes: list[dict[str, Any]], image: str, height: int, width: int) -> dict[str, Any]:
    """The content of a labelme file for the image file ``image`` beside it."""
    sides = {"imageHeight": height, "imageWidth": width}
    return {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None, **sides}


def labelme_shape(label: str, kind: str, points: list[list[Any]], group: int | None, **more: Any) -> dict[str, Any]:
    """One of labelme's shapes; those with the same label and ``group`` are one object."""
    return {"label": label, "points": points, "group_id": group, "shape_type": kind, "flags": {}, **more}


def labelme_mask(label: str, mask: NDArray[np.uint8], **more: Any) -> dict[str, Any]:
    """A mask uint8[h, w] of 0 and 1, with at least one 1, as labelme's shape: a PNG of its box."""
    x, y, w, h = cv2.boundingRect(mask)
    png = cv2.imencode(".png", mask[y : y + h, x : x + w] * np.uint8(255))[1].tobytes()
    points = [[x, y], [x + w - 1, y + h - 1]]
    return labelme_shape(label, "mask", points, None, mask=base64.b64encode(png).decode("ascii"), **more)


def _write_masks(found: list[tuple[Done, Instances]], folder: Path, classes: tuple[str, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    told: dict[str, Any] = {}
    for item, instances in found:
        name = _free_stem(item.image.file.stem, taken) + ".png"
        numbers = np.zeros((instances.height, instances.width), np.uint16)
        objects = []
        for number, (label, score, mask) in enumerate(_each(instances), 1):
            numbers[mask & (numbers == 0)] = min(number, MOST_OBJECTS)  # the best come first, and lie on top
            objects.append({"number": number, "class": classes[label], "score": round(score, 4)})
        with atomic_file(folder / name) as partial:
            partial.write_bytes(cv2.imencode(".png", numbers)[1].tobytes())
        told[name] = {"file_name": item.image.name, "objects": objects}
    write_json(folder / "objects.json", told)


def _free_stem(stem: str, taken: set[str]) -> str:
    """A name that no other image gets, also where upper and lower case are one."""
    free, number = stem, 2
    while free.casefold() in taken:
        free, number = f"{stem}-{number}", number + 1
    taken.add(free.casefold())
    return free


def _place(source: Path, target: Path) -> None:
    """A hard link to the image, or a copy where that can't be; one of an earlier call is replaced."""
    with contextlib.suppress(FileNotFoundError):
        target.unlink()
    with contextlib.suppress(OSError):
        os.link(source.resolve(), target)
        return
    with atomic_file(target) as partial:
        shutil.copyfile(source, partial)

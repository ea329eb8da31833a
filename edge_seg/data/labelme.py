"""A folder of labelme's JSON files and pictures → a COCO dataset.

Taken are the shapes that have an area: polygon, rectangle, circle, mask. Shapes of one picture with the same label and
the same ``group_id`` are parts of one object, as in labelme's own converter. Pictures without a JSON file are left out:
labelme writes none for a picture that nobody has looked at.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any, NoReturn

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from edge_seg.data.coco import decode
from edge_seg.errors import DataError, ImageError, UsageError
from edge_seg.files import atomic_dir, read_json, write_json
from edge_seg.runtime.image import read_image

IGNORED_LABELS = frozenset({"__ignore__", "_background_"})
"""labelme's conventional names for what is no object."""
CIRCLE_POINTS = 64


@dataclass
class _Picture:
    """A JSON file, its picture's bytes, and its objects: label and parts (polygons [x, y, …], or masks uint8[h, w])."""

    file: Path
    name: str
    content: bytes
    width: int
    height: int
    objects: list[tuple[str, list[Any]]] = field(default_factory=list)


def convert(
    folder: Path,
    out: Path,
    *,
    val_fraction: float = 0.2,
    seed: int = 0,
    classes: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Writes ``out/images``, ``out/train.json`` and ``out/val.json`` from all JSON files in and below ``folder``.

    ``val_fraction`` of the pictures, at least one, are for validation; ``seed`` says which. ``classes`` gives the order
    of the categories and refuses other labels; without it they are the labels that occur, sorted. Returns what each
    split holds and the classes. Raises :class:`DataError` naming file, shape and value, :class:`UsageError` when
    ``out`` exists and isn't an empty folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", remedy="give the folder in which labelme saved its JSON files")
    if not 0 < val_fraction < 1:
        raise UsageError(f"validation fraction {val_fraction}: expected a number between 0 and 1")
    files = sorted(folder.rglob("*.json"))
    if len(files) < 2:
        raise DataError(
            f"{folder}: {len(files)} JSON files; at least 2 are needed, one to train on and one to validate on",
            remedy="give the folder in which labelme saved its JSON files",
        )
    validation = set(np.random.default_rng(seed).permutation(len(files))[: max(1, round(len(files) * val_fraction))])
    if len(validation) == len(files):
        validation.pop()
    parts: dict[str, list[tuple[int, _Picture]]] = {"train": [], "val": []}
    with atomic_dir(out) as partial:
        (partial / "images").mkdir()
        for number, file in enumerate(files):
            picture = _read(file, "_".join(file.relative_to(folder).with_suffix("").parts))
            target = partial / "images" / picture.name
            if target.exists():
                _fail(file, "the picture", "a name that no other picture gets", picture.name)
            target.write_bytes(picture.content)
            picture.content = b""
            parts["val" if number in validation else "train"].append((number + 1, picture))
            if progress is not None:
                progress(number + 1, len(files))
        names = _classes([picture for part in parts.values() for _, picture in part], classes)
        counts = {}
        for split, part in parts.items():
            coco = _coco(part, names)
            counts[split] = {"images": len(coco["images"]), "instances": len(coco["annotations"])}
            write_json(partial / f"{split}.json", coco)
    return {**counts, "classes": list(names)}


def _fail(file: Path, what: str, expected: str, found: Any) -> NoReturn:
    raise DataError(
        f"{file}: {what}: expected {expected}, found {found!r}",
        remedy="mend it in the file, or label the picture again",
    )


def _classes(pictures: list[_Picture], wanted: Sequence[str]) -> tuple[str, ...]:
    labels = {label: picture.file for picture in pictures for label, _ in picture.objects}
    if len(set(wanted)) < len(wanted):
        raise UsageError(f"--classes {','.join(wanted)}: a class is named twice", remedy="name each class once")
    if not wanted:
        if not labels:
            raise DataError(f"{pictures[0].file.parent}: no file has a shape", remedy="annotate the pictures first")
        return tuple(sorted(labels))
    for label, file in labels.items():
        if label not in wanted:
            _fail(file, "label", f"one of {', '.join(wanted)}", label)
    return tuple(wanted)


def _read(file: Path, stem: str) -> _Picture:
    plain = read_json(file, DataError)
    if not isinstance(plain, dict) or not isinstance(plain.get("shapes"), list) or "imagePath" not in plain:
        raise DataError(
            f"{file}: not a labelme file: it has no shapes and imagePath", remedy="move it out of the folder"
        )
    path, content = _picture(file, plain)
    try:
        height, width = read_image(path).shape[:2] if content is None else _decode(file, content).shape[:2]
    except ImageError as problem:
        raise DataError(problem.message, remedy=problem.remedy) from None
    stated = (plain.get("imageWidth") or width, plain.get("imageHeight") or height)
    if stated != (width, height):
        _fail(file, "imageWidth and imageHeight", f"the picture's size, {width} x {height}", stated)
    content = path.read_bytes() if content is None else content
    picture = _Picture(file, f"{stem}{path.suffix.lower() or '.png'}", content, width, height)
    grouped: dict[tuple[str, int], list[Any]] = {}
    for number, shape in enumerate(plain["shapes"]):
        label = shape.get("label") if isinstance(shape, dict) else None
        if not isinstance(label, str) or not label:
            _fail(file, f"shapes[{number}].label", "a name", label)
        if label in IGNORED_LABELS:
            continue
        part = _part(file, f"shapes[{number}] ({label})", shape, width, height)
        group = shape.get("group_id")
        if isinstance(group, int):
            grouped.setdefault((label, group), []).append(part)
        else:
            picture.objects.append((label, [part]))
    picture.objects += [(label, members) for (label, _), members in grouped.items()]
    return picture


def _picture(file: Path, plain: dict[str, Any]) -> tuple[Path, bytes | None]:
    """The picture's path, and its content where it exists only inside the JSON file."""
    stated = plain["imagePath"]
    if not isinstance(stated, str) or not stated:
        _fail(file, "imagePath", "a file name", stated)
    name = PureWindowsPath(stated)  # takes / and \: labelme on Windows writes the latter
    for path in (file.parent / name.as_posix(), file.parent / name.name):
        if path.is_file():
            return path, None
    if isinstance(plain.get("imageData"), str):
        return Path(name.name), _base64(file, "imageData", plain["imageData"])
    raise DataError(
        f"{file}: no picture {stated!r}, and the file holds none itself", remedy="copy the picture beside the JSON file"
    )


def _base64(file: Path, what: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        _fail(file, what, "base64 text", text[:20])


def _decode(file: Path, content: bytes, flags: int = cv2.IMREAD_COLOR) -> NDArray[Any]:
    image = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
    if image is None:
        raise DataError(f"{file}: the picture in it is damaged", remedy="annotate the picture anew")
    return image


def _part(file: Path, where: str, shape: dict[str, Any], width: int, height: int) -> Any:
    """A polygon [x, y, x, y, …], inside the picture, or a mask uint8[height, width]."""
    points = shape.get("points")
    if not isinstance(points, list) or not all(map(_is_point, points)):
        _fail(file, f"{where}.points", "[[x, y], …]", points)
    corners = np.array(points, np.float64).reshape(-1, 2)
    kind = shape.get("shape_type") or "polygon"
    needed = {"polygon": 3, "rectangle": 2, "circle": 2, "mask": 2}.get(kind)
    if needed is None:
        raise DataError(
            f"{file}: {where}: shape_type is {kind!r}, which has no area",
            remedy="draw it as polygon, rectangle, circle or mask, or delete it",
        )
    if len(corners) < needed:
        _fail(file, f"{where}.points", f"at least {needed} for a {kind}", points)
    if kind == "mask":
        return _mask(file, where, shape, corners, width, height)
    if kind == "circle":
        angles = np.arange(CIRCLE_POINTS) * (2 * math.pi / CIRCLE_POINTS)
        radius = math.dist(corners[0], corners[1])
        corners = corners[0] + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if kind == "rectangle" and len(corners) == 2:
        (x0, y0), (x1, y1) = corners
        corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    corners = np.clip(corners, 0, (width, height))
    if np.ptp(corners, axis=0).min() == 0:
        _fail(file, where, f"a {kind} with an area inside the picture, {width} x {height}", points)
    return [round(float(value), 2) for value in corners.reshape(-1)]


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e9 for v in value)
    )


def _mask(
    file: Path, where: str, shape: dict[str, Any], corners: NDArray[np.float64], width: int, height: int
) -> NDArray[np.uint8]:
    """labelme's mask: a PNG in base64, whose upper left pixel lies at the first of two points."""
    text = shape.get("mask")
    if not isinstance(text, str):
        _fail(file, f"{where}.mask", "base64 text", text)
    drawn = _decode(file, _base64(file, f"{where}.mask", text), cv2.IMREAD_GRAYSCALE) > 0
    x, y = np.round(corners[0]).astype(int)
    if x < 0 or y < 0 or x + drawn.shape[1] > width or y + drawn.shape[0] > height or not drawn.any():
        _fail(file, where, f"a mask inside the picture, {width} x {height}", [int(x), int(y), *drawn.shape[::-1]])
    mask = np.zeros((height, width), np.uint8)
    mask[y : y + drawn.shape[0], x : x + drawn.shape[1]] = drawn
    return mask


def _coco(pictures: list[tuple[int, _Picture]], classes: tuple[str, ...]) -> dict[str, Any]:
    coco: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, start=1)],
    }
    for image_id, picture in pictures:
        coco["images"].append(
            {"id": image_id, "file_name": picture.name, "width": picture.width, "height": picture.height}
        )
        for label, parts in picture.objects:
            segmentation, mask = _segmentation(parts, picture.height, picture.width)
            x, y, width, height = cv2.boundingRect(mask)
            coco["annotations"].append(
                {
                    "id": len(coco["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": classes.index(label) + 1,
                    "bbox": [x, y, width, height],
                    "area": int(mask.sum()),
                    "iscrowd": 0,
                    "segmentation": segmentation,
                }
            )
    return coco


def _segmentation(parts: list[Any], height: int, width: int) -> tuple[Any, NDArray[np.uint8]]:
    """The object's parts as COCO writes them, and as uint8[height, width]."""
    if all(isinstance(part, list) for part in parts):
        return parts, decode(parts, height, width)
    mask = np.zeros((height, width), np.uint8)
    for part in parts:
        mask |= decode([part], height, width) if isinstance(part, list) else part
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}, mask

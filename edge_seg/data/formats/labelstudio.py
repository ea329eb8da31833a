"""Label Studio's JSON export: polygons, brushes, rectangles and ellipses, in percent of the image's size.

Percents are of the image as the browser shows it, upright; that holds also where ``original_width`` and
``original_height`` have the sides of the unturned file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg import limits
from edge_seg.data.formats.build import Drawn, Part, Shape, Source, ellipse, refuse_empty, turned
from edge_seg.data.locate import ImageFinder
from edge_seg.data.outline import Fault, is_number, shown
from edge_seg.errors import DataError
from edge_seg.files import read_json
from edge_seg.words import counted

IMAGE_KEYS = ("image", "img", "picture", "photo")
WITHOUT_AREA = frozenset({"keypointlabels", "keypoint", "vectorlabels"})
NO_REGION = frozenset({"choices", "textarea", "rating", "number", "datetime", "taxonomy", "labels", "pairwise"})
BRUSH_THRESHOLD = 127
"""A brush's pixel belongs to the object when its alpha is above this; Label Studio's own converter takes half too."""


def read(source: Source) -> tuple[list[Drawn], list[str]]:
    """All tasks that were annotated; no order of classes is given."""
    drawn = []
    for file in _files(source.place):
        plain = read_json(file, DataError, limits.DATASET_JSON_BYTES)
        tasks = [plain] if isinstance(plain, dict) else plain
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
            raise DataError(f"{file}: not Label Studio's JSON: expected a list of tasks", remedy='export as "JSON"')
        finder = ImageFinder([file.parent / "images", file.parent], source.root)
        for number, task in enumerate(tasks):
            one = _task(task, f"task {task.get('id', number)}", file, finder, source)
            if one is not None:
                drawn.append(one)
    if not any(f.severity == "error" for f in source.findings):
        refuse_empty(source.place, drawn, "annotated tasks")
    return drawn, []


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    files = sorted(f for f in place.iterdir() if f.suffix.lower() == ".json" and not f.name.startswith("."))
    if not files:
        raise DataError(f"{place}: holds no JSON file", remedy='export as "JSON", and give that file')
    return files


def _task(task: dict[str, Any], subject: str, file: Path, finder: ImageFinder, source: Source) -> Drawn | None:
    findings = source.findings
    annotations = task.get("annotations", task.get("completions"))
    if not isinstance(annotations, list):
        if "image" in task and ("label" in task or "tag" in task):
            raise DataError(f"{file}: Label Studio's JSON-MIN, which holds less", remedy='export as "JSON"')
        findings.add("entry", file, subject, f"annotations: expected a list, found {shown(annotations)}")
        return None
    kept = [a for a in annotations if isinstance(a, dict) and not a.get("was_cancelled")]
    if not kept:
        findings.add("task-unannotated", file, subject, "nobody has annotated it, or it was cancelled")
        return None
    chosen = next((a for a in kept if a.get("ground_truth")), kept[0])
    if len(kept) > 1:
        findings.add("versions", file, subject, f"annotated {counted(len(kept), 'time')}")
    name = _image_name(task)
    if name is None:
        findings.add("entry", file, subject, f"data: expected an image's address, found {shown(task.get('data'))}")
        return None
    try:
        located = finder.find(name)
    except Fault as fault:
        findings.add(fault.kind, file, subject, fault.text, name)
        return None
    if not located.exact:
        findings.add("image-elsewhere", file, subject, f"{name!r} found as {located.path}", str(located.path))
    results = chosen.get("result") or []
    if not isinstance(results, list) or not all(isinstance(r, dict) for r in results):
        findings.add("entry", file, f"{subject}: result", f"expected a list of objects, found {shown(results)}")
        return None
    frame = source.relative_frame(file, located.path, subject, upright=True)
    if frame is None:
        return None
    one = Drawn(file, located.path, frame)
    one.shapes = _shapes(results, one, subject, source)
    return one


def _image_name(task: dict[str, Any]) -> str | None:
    data = task.get("data")
    if not isinstance(data, dict):
        return None
    texts = {key: value for key, value in data.items() if isinstance(value, str) and value}
    for key in IMAGE_KEYS:
        if key in texts:
            return texts[key]
    return next(iter(texts.values()), None)


def _shapes(results: list[dict[str, Any]], image: Drawn, subject: str, source: Source) -> list[Shape]:
    shapes = []
    # With a <Labels> tag of its own, a region and its label are two results of one id.
    apart = {
        str(r.get("id")): r["value"] for r in results if r.get("type") == "labels" and isinstance(r.get("value"), dict)
    }
    for number, result in enumerate(results):
        kind = str(result.get("type", ""))
        where = f"{subject}: result {number}"
        if kind in NO_REGION or "value" not in result or result.get("from_id"):
            continue
        try:
            label, part = _part(result, kind, image, apart.get(str(result.get("id")), {}))
            if result.get("image_rotation"):
                text = f"image_rotation is {shown(result['image_rotation'])}"
                source.findings.add("turned-view", image.file, where, text, str(image.path))
            labels = result["value"].get(kind) or result["value"].get("labels")
            if isinstance(labels, list) and len(labels) > 1:
                source.findings.add("labels-several", image.file, where, ", ".join(map(str, labels)), str(image.path))
        except Fault as fault:
            source.findings.add(fault.kind, image.file, where, fault.text, str(image.path))
            continue
        shapes.append(Shape(label, [part], f"{where} ({label})"))
    return shapes


def _part(result: dict[str, Any], kind: str, image: Drawn, apart: dict[str, Any]) -> tuple[str, Part]:
    value = result["value"]
    if not isinstance(value, dict):
        raise Fault("entry", f"value: expected an object, found {shown(value)}")
    if kind in WITHOUT_AREA:
        raise Fault("no-area", f"type is {kind!r}")
    places = [*(value.get(key) for key in (kind, "labels")), apart.get("labels")]
    labels = next((place for place in places if isinstance(place, list) and place), None)
    if not labels or not isinstance(labels[0], str):
        raise Fault("entry", f"expected a label, found {shown(labels)}")
    if kind.startswith("polygon"):
        points = value.get("points")
        if not isinstance(points, list) or len(points) < 3:
            raise Fault("outline", f"points: expected at least three, found {shown(points)}")
        if not all(isinstance(p, list) and len(p) == 2 and all(map(is_number, p)) for p in points):
            raise Fault("outline", f"points: expected [[x, y], …], found {shown(points)}")
        scale = (image.width / 100, image.height / 100)
        return labels[0], [v * scale[n] for point in points for n, v in enumerate(point)]
    if kind.startswith("brush"):
        return labels[0], _brush(result, value, image)
    if kind.startswith("rectangle"):
        x, y, across, down, degrees = _numbers(value, ("x", "y", "width", "height"), image)
        corners = np.array([(0, 0), (across, 0), (across, down), (0, down)])
        return labels[0], turned(corners, x, y, degrees)  # turned about its upper left corner
    if kind.startswith("ellipse"):
        x, y, across, down, degrees = _numbers(value, ("x", "y", "radiusX", "radiusY"), image)
        return labels[0], ellipse(x, y, across, down, degrees)
    raise Fault("outline", f"type: expected polygons, brushes, rectangles or ellipses, found {kind!r}")


def _numbers(value: dict[str, Any], keys: tuple[str, ...], image: Drawn) -> tuple[float, float, float, float, float]:
    """Two pairs of percents in pixels, and the rotation in degrees."""
    found = [value.get(key) for key in keys]
    degrees = value.get("rotation", 0) or 0
    if not all(map(is_number, [*found, degrees])):
        raise Fault("outline", f"expected numbers for {', '.join(keys)}, found {shown(found)}")
    a, b, c, d = (float(v) * (image.width, image.height)[n % 2] / 100 for n, v in enumerate(found) if v is not None)
    return a, b, c, d, float(degrees)


def _brush(result: dict[str, Any], value: dict[str, Any], image: Drawn) -> Part:
    data = value.get("rle")
    if value.get("format") != "rle" or not isinstance(data, list):
        raise Fault("outline", "brush: expected run lengths of format 'rle'")
    sides = result.get("original_width"), result.get("original_height")
    if sides not in ((image.width, image.height), (image.height, image.width)):
        text = f"brush: expected original_width and original_height of {image.width} x {image.height}, found {sides}"
        raise Fault("image-size", text)
    pixels = decode_rle(data, 4 * image.width * image.height)
    # The brush's bitmap is of the size that Label Studio believed the image to have.
    mask = (pixels.reshape(-1, 4)[:, 3].reshape(int(sides[1] or 0), int(sides[0] or 0)) > BRUSH_THRESHOLD).astype(
        np.uint8
    )
    if mask.shape != (image.height, image.width):
        raise Fault("image-size", f"brush: drawn on {sides[0]} x {sides[1]} pixels of an image that EXIF turns")
    if not mask.any():
        raise Fault("no-pixels", "its brush holds no pixel")
    return mask


def decode_rle(data: list[Any], length: int) -> NDArray[np.uint8]:
    """Label Studio's run lengths (of thi.ng/rle-pack) → uint8[length].

    A stream of bits: how many values follow (32 bits), bits of a value - 1 (5), four widths of lengths - 1 (4 each);
    then blocks, each with a bit that says whether one value is repeated, two bits that choose the width of its length,
    the length - 1, and one value or as many. Raises :class:`Fault` for anything else.
    """
    try:
        content = bytes(data)
    except (TypeError, ValueError):
        raise Fault("outline", "brush: expected a list of bytes") from None
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    place = 0

    def number(width: int) -> int:
        nonlocal place
        if place + width > len(bits):
            raise Fault("outline", "brush: its run lengths end too early")
        value = int.from_bytes(np.packbits(np.pad(bits[place : place + width], (-width % 8, 0))).tobytes(), "big")
        place += width
        return value

    if number(32) != length:
        raise Fault("outline", f"brush: expected run lengths of {length} values")
    word = number(5) + 1
    widths = [number(4) + 1 for _ in range(4)]
    out = np.zeros(length, np.uint8)
    done = 0
    while done < length:
        repeated = number(1)
        count = 1 + number(widths[number(2)])
        if done + count > length:
            raise Fault("outline", f"brush: its run lengths give more than {length} values")
        if repeated:
            out[done : done + count] = min(number(word), 255)
        else:
            for n in range(count):
                out[done + n] = min(number(word), 255)
        done += count
    return out

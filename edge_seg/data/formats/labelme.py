"""labelme's (and X-AnyLabeling's) JSON files, one beside each image.

Taken are the shapes that have an area: polygon, rectangle, rotated rectangle, circle, mask. Shapes of one image with
the same label and ``group_id`` are parts of one object, as in labelme's own converter. A shape named ``__hole__`` is
cut out of the object with its ``group_id``, or else out of the smallest one around it. Images without a JSON file are
left out: labelme writes none for an image that nobody has looked at.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import math
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_seg import limits
from edge_seg.data.dataset import CocoDataset
from edge_seg.data.formats.build import (
    Drawn,
    Mask,
    Part,
    Polygon,
    Shape,
    Source,
    note_unannotated,
    paste,
    refuse_empty,
    split_name,
)
from edge_seg.data.header import read_header
from edge_seg.data.locate import ImageFinder, files_below, name_parts
from edge_seg.data.outline import Fault, Notes, box_of, decode, is_number, shown
from edge_seg.data.write import Progress, place
from edge_seg.errors import DataError
from edge_seg.files import atomic_dir, read_json, write_json
from edge_seg.runtime.formats import labelme_file, labelme_mask, labelme_shape
from edge_seg.runtime.image import SUFFIXES

IGNORED_LABELS = frozenset({"__ignore__", "_background_"})
"""labelme's conventional names for what is no object."""
HOLE = "__hole__"
CIRCLE_POINTS = 64
ANOTHER = 8.0
"""A mean difference of the values, 0 to 255, that no second compression makes."""
POLYGONS = frozenset({"polygon", "rotation", "oriented_rectangle", "quadrilateral"})
WITHOUT_AREA = frozenset({"point", "points", "line", "linestrip", "polyline"})


def read(source: Source) -> tuple[list[Drawn], list[str]]:
    """All images with a JSON file in and below the folder; no order of classes is given."""
    folder = source.place
    files = [folder] if folder.is_file() else list(_json_files(folder))
    finder = ImageFinder([], source.root)
    found: list[tuple[Path, Path, dict[str, Any]]] = []
    for file in files:
        try:
            plain = read_json(file, DataError, limits.DATASET_JSON_BYTES, allow_nan=True)
        except DataError as problem:
            source.findings.add("file", "", "", problem.message)
            continue
        if isinstance(plain, list) and plain and isinstance(plain[0], dict) and "labelIdx" in plain[0]:
            text = "EISeg's own file: let EISeg save COCO, and give that to `edge-seg data check`"
            source.findings.add("not-annotated", file, "", text)
        elif not isinstance(plain, dict) or not {"shapes", "imagePath"} & plain.keys():
            source.findings.add("not-annotated", file, "", "not a labelme file: it has no shapes and imagePath")
        elif not isinstance(plain.get("shapes"), list):
            text = f"not a labelme file: expected a list of shapes, found {shown(plain.get('shapes'))}"
            source.findings.add("file", file, "", text)
        else:
            try:
                found.append((file, _image(file, plain, source, finder), plain))
            except Fault as fault:
                source.findings.add(fault.kind, file, "imagePath", fault.text)
                _shapes(file, plain, Drawn(file, file, _endless(plain)), source)  # its other faults are told as well
    if folder.is_dir():
        note_unannotated(folder, [image for _, image, _ in found], source, files)
    drawn = []
    for file, image, plain in _without_duplicates(found, source):
        frame = source.frame(file, image, plain.get("imageWidth"), plain.get("imageHeight"), "imageWidth, imageHeight")
        if frame is not None:
            one = Drawn(file, image, frame, _split(file, source.place))
            one.shapes = _shapes(file, plain, one, source)
            drawn.append(one)
    if not drawn and not any(f.severity == "error" for f in source.findings):
        refuse_empty(folder, drawn, "labelme files")
    return drawn, []


def _json_files(folder: Path) -> list[Path]:
    """JSON files; not hidden ones (macOS' ``._a.json``) nor those in hidden folders (``.ipynb_checkpoints``)."""
    return sorted(file for file in files_below(folder) if file.suffix.lower() == ".json" and file.is_file())


def _split(file: Path, root: Path) -> str:
    parts = file.relative_to(root).parts if root.is_dir() else ()
    return split_name(parts[0]) if len(parts) > 1 else ""


def _endless(plain: dict[str, Any]) -> Any:
    """A frame for shapes whose image is missing: as stated, or any size."""
    from edge_seg.data.frame import LONGEST_SIDE, Frame

    sides = [plain.get(key) for key in ("imageWidth", "imageHeight")]
    width, height = (s if isinstance(s, int) and 0 < s <= LONGEST_SIDE else LONGEST_SIDE for s in sides)
    return Frame(width, height)


def _image(file: Path, plain: dict[str, Any], source: Source, finder: ImageFinder) -> Path:
    """The image: beside the JSON file, inside it, with the JSON file's own name, or anywhere under that name."""
    stated = plain.get("imagePath")
    name = stated if isinstance(stated, str) else ""
    parts = name_parts(name)
    if parts:
        for path in (file.parent / name.replace("\\", "/"), file.parent.joinpath(*parts), file.parent / parts[-1]):
            if _is_file(path):
                _compare(path, file, plain.get("imageData"), source)
                return path
    if isinstance(plain.get("imageData"), str) and plain["imageData"]:
        suffix = Path(parts[-1]).suffix.lower() if parts else ""
        inside = Path(tempfile.mkdtemp(dir=source.store)) / f"{file.stem}{suffix or '.png'}"
        inside.write_bytes(_base64("imageData", plain["imageData"]))
        header = read_header(inside)
        if header is None or not header.readable:
            raise Fault("image-unreadable", "imageData: damaged, or not an image")
        return inside
    for other in sorted(file.parent.glob(f"{_escaped(file.stem)}.*")):
        if other.suffix.lower() in SUFFIXES:
            text = f"imagePath is {stated!r}, which isn't there: took {other.name}, which has the file's name"
            source.findings.add("image-elsewhere", file, "imagePath", text, str(other))
            return other
    if not parts:
        raise Fault("image-missing", f"expected a file name, found {shown(stated)}")
    try:
        path = finder.find(name).path
    except Fault as fault:
        raise Fault(fault.kind, f"{fault.text}, and the file holds none itself") from None
    source.findings.add("image-elsewhere", file, "imagePath", f"{stated!r} found as {path}", str(path))
    return path


def _compare(path: Path, file: Path, inside: Any, source: Source) -> None:
    """Says so when the file holds another image than the one beside it: labelme shows, and is drawn on, its own."""
    if not isinstance(inside, str) or not inside:
        return
    with contextlib.suppress(Fault, OSError):
        own, beside = _base64("imageData", inside), path.read_bytes()
        if own == beside:
            return
        seen = [cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_REDUCED_COLOR_4) for one in (own, beside)]
        a, b = (None if one is None else one.astype(np.float32) for one in seen)
        # labelme writes images that EXIF turns anew, as JPEG: the pixels differ a bit.
        if a is not None and b is not None and (a.shape != b.shape or float(np.abs(a - b).mean()) > ANOTHER):
            text = f"{path.name} and imageData differ"
            source.findings.add("image-data", file, "imageData", text, str(path))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _without_duplicates(
    found: list[tuple[Path, Path, dict[str, Any]]], source: Source
) -> list[tuple[Path, Path, dict[str, Any]]]:
    """One JSON file for each image: of several the one with the image's name, or any where all say the same."""
    by_image: dict[Path, list[tuple[Path, Path, dict[str, Any]]]] = {}
    for entry in found:
        by_image.setdefault(entry[1].resolve(), []).append(entry)
    kept = []
    for entries in by_image.values():
        image = entries[0][1]
        named = [entry for entry in entries if entry[0].stem == image.stem]
        first = (named or entries)[0]
        rest = [entry for entry in entries if entry is not first]
        differing = [entry[0].name for entry in rest if entry[2]["shapes"] != first[2]["shapes"]]
        if differing and len(named) != 1:
            names = ", ".join(entry[0].name for entry in entries)
            text = f"{names} are all for {image.name}, and don't hold the same shapes"
            source.findings.add("image-twice-differs", first[0], "", text, str(image))
            continue
        for file, *_ in rest:
            how = "other" if file.name in differing else "the same"
            text = f"for {image.name} as {first[0].name} is, with {how} shapes: left out"
            source.findings.add("duplicate", file, "", text, str(image))
        kept.append(first)
    return kept


def _shapes(file: Path, plain: dict[str, Any], image: Drawn, source: Source) -> list[Shape]:
    grouped: dict[tuple[str, Any], Shape] = {}
    shapes: list[Shape] = []
    holes: list[tuple[Any, Part, str]] = []
    for number, entry in enumerate(plain["shapes"]):
        label = entry.get("label") if isinstance(entry, dict) else None
        if isinstance(label, int) and not isinstance(label, bool):
            label = str(label)
        subject = f"shapes[{number}]"
        if not isinstance(label, str) or not label.strip():
            text = f"expected a name, found {shown(label if isinstance(entry, dict) else entry)}"
            source.findings.add("entry", file, f"{subject}.label", text, str(image.path))
            continue
        subject = f"{subject} ({label})"
        if label in IGNORED_LABELS:
            source.findings.add("ignored", file, subject, "left out", str(image.path))
            continue
        notes: Notes = []
        try:
            part = _part(entry, image.width, image.height, notes)
        except Fault as fault:
            source.findings.add(fault.kind, file, subject, fault.text, str(image.path))
            continue
        for kind, text in notes:
            source.findings.add(kind, file, subject, text, str(image.path))
        group = _group(entry.get("group_id"))
        if label == HOLE:
            holes.append((group, part, subject))
        elif group is None:
            shapes.append(Shape(label, [part], subject))
        elif (label, group) in grouped:
            text = f"with {grouped[label, group].subject}, group_id {group}"
            source.findings.add("grouped", file, subject, text, str(image.path))
            grouped[label, group].parts.append(part)
        else:
            grouped[label, group] = Shape(label, [part], subject)
    shapes += grouped.values()
    for group, part, subject in holes:
        _cut(group, part, subject, shapes, grouped, image, source)
    return shapes


def _cut(
    group: Any,
    part: Part,
    subject: str,
    shapes: list[Shape],
    grouped: dict[tuple[str, Any], Shape],
    image: Drawn,
    source: Source,
) -> None:
    """Cuts a hole out of the object that it belongs to."""
    own = [shape for (_, key), shape in grouped.items() if group is not None and key == group]
    box = _box(part)
    around = [shape for shape in shapes if _around(shape, box)]
    targets = own or sorted(around, key=_extent)[:1]
    if not targets:
        source.findings.add("outline", image.file, subject, "a hole in no object", str(image.path))
    for shape in targets:
        shape.holes.append(part)
        source.findings.add("hole", image.file, subject, f"cut out of {shape.subject}", str(image.path))


def _box(part: Part) -> tuple[float, float, float, float]:
    if isinstance(part, list):
        return box_of([part])
    x, y, width, height = cv2.boundingRect(part)
    return float(x), float(y), float(x + width), float(y + height)


def _around(shape: Shape, box: tuple[float, float, float, float]) -> bool:
    outer = [_box(part) for part in shape.parts]
    return any(o[0] <= box[0] and o[1] <= box[1] and o[2] >= box[2] and o[3] >= box[3] for o in outer)


def _extent(shape: Shape) -> float:
    return sum((b[2] - b[0]) * (b[3] - b[1]) for b in map(_box, shape.parts))


def _group(value: Any) -> int | str | None:
    """The number of a group, also as text or 1.0, as edited files have it; other text is a group as well."""
    if value is None or isinstance(value, bool) or value == "":
        return None
    if isinstance(value, str):
        text = value.strip()
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else text or None
    return int(value) if is_number(value) and value == int(value) else shown(value)


def _part(shape: dict[str, Any], width: int, height: int, notes: Notes) -> Part:
    """A polygon [x, y, x, y, …], or a mask uint8[height, width]. Raises :class:`Fault`."""
    kind = shape.get("shape_type") or "polygon"
    if not isinstance(kind, str):
        raise Fault("outline", f"shape_type: expected a word, found {shown(kind)}")
    if kind in WITHOUT_AREA:
        raise Fault("no-area", f"shape_type is {kind!r}")
    needed = 3 if kind in POLYGONS else {"rectangle": 2, "circle": 2, "mask": 2}.get(kind)
    if needed is None:
        known = ", ".join(sorted({*POLYGONS, "rectangle", "circle", "mask"}))
        raise Fault("outline", f"shape_type: expected one of {known}, found {shown(kind)}")
    points = shape.get("points")
    if not isinstance(points, list) or not all(map(_is_point, points)):
        raise Fault("outline", f"points: expected [[x, y], …], found {shown(points)}")
    if len(points) < needed:
        raise Fault("outline", f"points: expected at least {needed} for a {kind}, found {shown(points)}")
    if kind == "mask":
        return _mask(shape, points, width, height, notes)
    if kind == "circle":
        (x, y), edge = points[0], points[1]
        radius = math.dist((x, y), edge)
        angles = [2 * math.pi * n / CIRCLE_POINTS for n in range(CIRCLE_POINTS)]
        return [v for angle in angles for v in (x + radius * math.cos(angle), y + radius * math.sin(angle))]
    if kind == "rectangle":
        points = _rectangle(points)
    polygon = [float(v) if isinstance(v, int) else v for point in points for v in point]
    box = box_of([polygon])
    if min(box[2] - box[0], box[3] - box[1]) == 0:
        raise Fault("outline", f"points: expected a {kind} with an area, found {shown(points)}")
    return polygon


def _rectangle(points: list[Any]) -> list[Any]:
    """The corners in order: of two opposite ones, or of four, in whatever order they stand (X-AnyLabeling has four)."""
    if len(points) not in (2, 4):
        raise Fault("outline", f"points: expected 2 or 4 for a rectangle, found {shown(points)}")
    xs, ys = ([point[axis] for point in points] for axis in (0, 1))
    x0, y0, x1, y1 = min(xs), min(ys), max(xs), max(ys)
    upright = all(x in (x0, x1) and y in (y0, y1) for x, y in points)
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)] if upright else points


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(is_number(v) and abs(v) < 1e9 for v in value)


def _mask(shape: dict[str, Any], points: list[Any], width: int, height: int, notes: Notes) -> Mask:
    """labelme's mask: a PNG in base64, whose upper left pixel lies at the first of two points; cut at the edges."""
    text = shape.get("mask")
    if not isinstance(text, str):
        raise Fault("outline", f"mask: expected base64 text, found {shown(text)}")
    content = _base64("mask", text)
    drawn: NDArray[Any] | None = None
    if content:
        drawn = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    if drawn is None:
        raise Fault("outline", "mask: the PNG in it is damaged")
    stated = [abs(round(points[1][axis]) - round(points[0][axis])) + 1 for axis in (0, 1)]
    # By one pixel tools differ in whether the second point is inside.
    if any(abs(a - b) > 1 for a, b in zip(stated, drawn.shape[::-1], strict=True)):
        found = f"{drawn.shape[1]} x {drawn.shape[0]}"
        raise Fault("outline", f"mask: expected {stated[0]} x {stated[1]} pixels, as its points say, found {found}")
    return paste(drawn, round(points[0][0]), round(points[0][1]), width, height, notes)


def _base64(what: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Fault("outline" if what == "mask" else "image-missing", f"{what}: expected base64 text, found "
                    f"{shown(text[:20])}") from None  # fmt: skip


def write(splits: dict[str, CocoDataset], out: Path, progress: Progress | None = None) -> int:
    """Writes ``out/SPLIT/NAME.json`` beside each image; returns how many crowds were left out, which it can't say.

    Polygons stay polygons, the parts of one object get one ``group_id``; run lengths become masks.
    """
    total, done, crowds = sum(map(len, splits.values())), 0, 0
    with atomic_dir(out) as partial:
        for split, dataset in splits.items():
            folder = partial / split
            folder.mkdir()
            taken: set[str] = set()
            for record in dataset.images:
                stem, number = record.path.stem, 2
                while stem.casefold() in taken:
                    stem, number = f"{record.path.stem}-{number}", number + 1
                taken.add(stem.casefold())
                name = stem + record.path.suffix
                place(record.path, folder / name)
                shapes = []
                for group, one in enumerate(record.annotations, 1):
                    crowds += one.crowd
                    if not one.crowd:
                        label = dataset.classes[one.label]
                        shapes += to_shapes(one.segmentation, label, group, record.height, record.width)
                plain = labelme_file(shapes, name, record.height, record.width)
                write_json(folder / f"{stem}.json", plain)
                done += 1
                if progress is not None:
                    progress(done, total)
    return crowds


def to_shapes(segmentation: Any, label: str, group: int, height: int, width: int) -> list[dict[str, Any]]:
    """One object as labelme's shapes; ``group`` joins its parts."""
    if not isinstance(segmentation, list):
        return [labelme_mask(label, decode(segmentation, height, width))]
    joined = group if len(segmentation) > 1 else None
    return [labelme_shape(label, "polygon", _points(polygon), joined) for polygon in segmentation]


def _points(polygon: Polygon) -> list[list[float]]:
    return [list(point) for point in zip(polygon[::2], polygon[1::2], strict=True)]

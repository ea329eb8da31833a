"""YOLO segmentation (Ultralytics): a text file for each image, a line for each object.

A line is a class number and a polygon, x y x y …, as parts of the image's width and height. An object is one polygon:
parts and holes are joined by lines that are gone to and fro. An image without a text file holds nothing.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from edge_seg import limits
from edge_seg.data.dataset import CocoDataset
from edge_seg.data.formats.build import Drawn, Shape, Source, refuse_empty, split_name
from edge_seg.data.locate import files_below
from edge_seg.data.outline import Fault, decode, shown
from edge_seg.data.write import Progress, place
from edge_seg.errors import DataError
from edge_seg.files import atomic_dir, read_limited
from edge_seg.runtime.image import SUFFIXES
from edge_seg.runtime.trace import one_polygon, trace
from edge_seg.yaml_file import read_yaml

OUTSIDE = 0.01
"""Values beyond 0…1 by more than this aren't parts of the image's size."""
DIGITS = 8


def read(source: Source) -> tuple[list[Drawn], list[str]]:
    """All images below the folder, and the names of the classes in their order."""
    root = source.root
    settings = _settings(source.place)
    names = _names(settings, root)
    listed = _listed(settings, root, source)
    files = sorted(file for file in files_below(root) if file.suffix.lower() in SUFFIXES)
    drawn = []
    labels: set[Path] = set()
    for image in files:
        text = _label_file(image, root)
        split = listed.get(image.resolve(), "") or _split(image, root)
        frame = source.relative_frame(text or image, image)
        if frame is None:
            continue
        one = Drawn(text or image, image, frame, split)
        if text is not None:
            labels.add(text)
            one.shapes = _shapes(text, one, names, source)
        else:
            source.findings.add("image-background", "", "", str(image), str(image))
        drawn.append(one)
    refuse_empty(source.place, drawn, "images")
    if not labels:
        raise DataError(
            f"{source.place}: no image has a text file with its outlines",
            remedy="YOLO keeps them in labels/ beside images/, each with the image's name",
        )
    if not names:
        source.findings.add("names-missing", source.place, "names", "data.yaml and classes.txt hold none")
    for name in sorted({name for name in names if names.count(name) > 1}):
        source.findings.add("names-twice", source.place, "names", repr(name))
    for file in files_below(root):
        orphan = file.suffix == ".txt" and file.name != "classes.txt" and file not in labels
        if orphan and "labels" in file.relative_to(root).parts[:-1] and file.stat().st_size:
            source.findings.add("image-missing", file, "", "no image for this text file")
    return drawn, names


def _settings(place: Path) -> dict[str, Any]:
    """What data.yaml says, {} where there is none."""
    files = [place] if place.is_file() else sorted([*place.glob("*.yaml"), *place.glob("*.yml")])
    if not files:
        return {}
    plain = read_yaml(files[0], DataError, "mend it, or export the set again")
    return plain if isinstance(plain, dict) else {}


def _names(settings: dict[str, Any], root: Path) -> list[str]:
    names = settings.get("names")
    if isinstance(names, dict) and all(isinstance(key, int) for key in names):
        names = [names.get(number, str(number)) for number in range(max(names, default=-1) + 1)]
    if isinstance(names, list):
        if not all(isinstance(name, (str, int, float)) for name in names):
            raise DataError(f"data.yaml: names: expected words, found {shown(names)}", remedy="correct it")
        return [str(name) for name in names]
    for file in (root / "classes.txt", root / "labels" / "classes.txt"):
        if file.is_file():
            return [line.strip() for line in _text(file).splitlines() if line.strip()]
    return []


def _listed(settings: dict[str, Any], root: Path, source: Source) -> dict[Path, str]:
    """The split of each image that data.yaml names by folder or list."""
    base = root / str(settings.get("path", "."))
    found: dict[Path, str] = {}
    for split in ("train", "val", "test"):
        entries = settings.get(split) or []
        for entry in entries if isinstance(entries, list) else [entries]:
            parts = [part for part in Path(str(entry)).parts if part not in ("..", "/")]
            for there in (base / str(entry), root / str(entry), root.joinpath(*parts)):
                if there.is_dir():
                    _note_split(
                        found,
                        {file.resolve(): split for file in files_below(there) if file.suffix.lower() in SUFFIXES},
                        source,
                    )
                    break
                if there.is_file():
                    lines = _text(there).split("\n")
                    files = [base / line.strip() for line in lines if line.strip()]
                    _note_split(found, {file.resolve(): split for file in files}, source)
                    break
    return found


def _note_split(found: dict[Path, str], more: dict[Path, str], source: Source) -> None:
    """Adds images with their split; those that are in two are named, and stay in the first."""
    for file, split in more.items():
        if found.setdefault(file, split) != split:
            source.findings.add("both-splits", "", "", f"{file} is in {found[file]} and {split}", str(file))


def _text(file: Path) -> str:
    """A list's text. Raises :class:`DataError` when it isn't UTF-8, or is far too long."""
    try:
        return read_limited(file, DataError, limits.DATASET_JSON_BYTES, "list").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{file}: not UTF-8 text", remedy="save it as UTF-8") from None


def _split(image: Path, root: Path) -> str:
    return next((name for part in image.relative_to(root).parts[:-1] if (name := split_name(part))), "")


def _label_file(image: Path, root: Path) -> Path | None:
    """The text file of an image: in ``labels`` where the path has ``images``, or beside the image."""
    parts = list(image.relative_to(root).parts)
    places = [image.with_suffix(".txt")]
    for number in reversed(range(len(parts) - 1)):
        if parts[number] == "images":
            changed = [*parts[:number], "labels", *parts[number + 1 :]]
            places.insert(0, root.joinpath(*changed).with_suffix(".txt"))
            break
    if root.name == "images":
        places.append(root.parent.joinpath("labels", *parts).with_suffix(".txt"))
    return next((place for place in places if place.is_file() and place.name != "classes.txt"), None)


def _shapes(text: Path, image: Drawn, names: list[str], source: Source) -> list[Shape]:
    shapes = []
    try:
        lines = text.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        source.findings.add("file", text, "", "not UTF-8 text")
        return []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        subject = f"line {number}"
        try:
            shapes.append(_shape(line, subject, image, names))
        except Fault as fault:
            source.findings.add(fault.kind, text, subject, fault.text, str(image.path))
    return shapes


def _shape(line: str, subject: str, image: Drawn, names: list[str]) -> Shape:
    words = line.split()
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise Fault("outline", f"expected a class number and x y x y …, found {shown(line)}") from None
    if values[0] != int(values[0]) if math.isfinite(values[0]) else True:
        raise Fault("outline", f"expected a class number first, found {words[0]!r}")
    label = int(values[0])
    if label < 0 or (names and label >= len(names)):
        raise Fault("category-unknown", f"expected a class number of 0 to {len(names) - 1}, found {label}")
    values = values[1:]
    if len(values) == 4:
        raise Fault("no-outline", f"expected a polygon, found a bounding box, {shown(line)}")
    if len(values) < 6 or len(values) % 2:
        raise Fault("outline", f"expected x y x y … of at least three points, found {shown(line)}")
    # Not a comparison that NaN passes.
    if not all(-OUTSIDE <= value <= 1 + OUTSIDE for value in values):
        raise Fault("outline", f"expected parts of the image's size, 0 to 1, found {shown(line)}")
    polygon = [value * (image.width, image.height)[n % 2] for n, value in enumerate(values)]
    return Shape(names[label] if names else str(label), [polygon], subject)


def write(splits: dict[str, CocoDataset], out: Path, progress: Progress | None = None) -> int:
    """Writes ``data.yaml``, ``images/SPLIT`` and ``labels/SPLIT`` into ``out``; returns how many crowds it left out."""
    total, done, crowds = sum(map(len, splits.values())), 0, 0
    with atomic_dir(out) as partial:
        for split, dataset in splits.items():
            images, labels = partial / "images" / split, partial / "labels" / split
            images.mkdir(parents=True)
            labels.mkdir(parents=True)
            taken: set[str] = set()
            for record in dataset.images:
                stem, number = record.path.stem, 2
                while stem.casefold() in taken:
                    stem, number = f"{record.path.stem}-{number}", number + 1
                taken.add(stem.casefold())
                place(record.path, images / f"{stem}{record.path.suffix}")
                lines = []
                for one in record.annotations:
                    crowds += one.crowd
                    if not one.crowd:
                        polygon = as_polygon(one.segmentation, record.height, record.width)
                        values = [
                            round(v / (record.width, record.height)[n % 2], DIGITS) for n, v in enumerate(polygon)
                        ]
                        lines.append(" ".join([str(one.label), *(f"{value:.{DIGITS}g}" for value in values)]))
                (labels / f"{stem}.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
                done += 1
                if progress is not None:
                    progress(done, total)
        names = next(iter(splits.values())).classes
        entries = [f"{split}: images/{split}" for split in splits]
        entries += ["names:", *(f"  {n}: {json.dumps(name, ensure_ascii=False)}" for n, name in enumerate(names))]
        (partial / "data.yaml").write_text("\n".join(entries) + "\n", encoding="utf-8")
    return crowds


def as_polygon(segmentation: Any, height: int, width: int) -> list[float]:
    """An object as one polygon: its own where it is one, else along the edges of its pixels."""
    if isinstance(segmentation, list) and len(segmentation) == 1:
        return list(segmentation[0])
    return one_polygon(trace(decode(segmentation, height, width)))

"""How people lay out COCO data: where each split's annotation file is, and where its images are."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from pathlib import Path

from edge_seg.errors import DataError

SPLITS = ("train", "val")
OPTIONAL_SPLITS = ("test",)
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
ALIASES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""What a split is called in file and folder names."""


@dataclass(frozen=True)
class Layout:
    """Where a split's annotations are, and the folders that may hold its images; ``{split}`` is the split's name."""

    name: str
    annotations: str
    images: tuple[str, ...]


LAYOUTS = (
    Layout("edge-seg", "{split}.json", ("images", "JPEGImages", "{split}2017", "images/{split}", "{split}", ".")),
    Layout("COCO 2017", "annotations/instances_{split}2017.json", ("{split}2017", "images/{split}2017", "images", ".")),
    Layout("COCO 2014", "annotations/instances_{split}2014.json", ("{split}2014", "images/{split}2014", "images", ".")),
    Layout("CVAT", "annotations/instances_{split}.json", ("images/{split}", "{split}", "images", "JPEGImages", ".")),
    Layout("PaddleX", "annotations/instance_{split}.json", ("images", "JPEGImages", "images/{split}", "{split}", ".")),
    Layout("annotations", "annotations/{split}.json", ("images", "images/{split}", "{split}", "{split}2017", ".")),
    Layout("Roboflow", "{split}/_annotations.coco.json", ("{split}",)),
    Layout("one folder a split", "{split}/annotations.json", ("{split}", "{split}/images", "{split}/data")),
)
"""The first whose annotation file is there is taken."""

HELP = "\n".join(
    [
        *(f"  {layout.annotations:<40} {layout.name}" for layout in LAYOUTS),
        f"  {'anything.json beside its images':<40} one file, for `edge-seg data split`",
    ]
)
"""The layouts for ``--help``; ``{split}`` is train, val (valid, validation) or test."""


@dataclass(frozen=True)
class SplitFile:
    """A split's annotation file, the folders that may hold its images, and the layout's name."""

    file: Path
    folders: tuple[Path, ...]
    layout: str


def find_all(folder: Path, split: str) -> list[SplitFile]:
    """Every place where ``split`` of the data set in ``folder`` may be; the first is taken."""
    found: list[SplitFile] = []
    for layout in LAYOUTS:
        for name in ALIASES.get(split, (split,)):
            file = _file(folder / layout.annotations.format(split=name))
            if file is not None and all(file != other.file for other in found):
                images = tuple(folder / place.format(split=name) for place in layout.images)
                found.append(SplitFile(file, images, layout.name))
    return found


def _file(path: Path) -> Path | None:
    """The file, also one whose ending has another case (train.JSON)."""
    if path.is_file():
        return path
    other = path.with_suffix(path.suffix.upper())
    return other if other.is_file() else None


def find_split(folder: Path, split: str) -> SplitFile | None:
    """Where ``split`` of the data set in ``folder`` is; None when no layout fits."""
    return next(iter(find_all(folder, split)), None)


def has_split(folder: Path, split: str = "train") -> bool:
    """Whether ``folder`` holds a COCO data set with that split."""
    return find_split(folder, split) is not None


def find_single(place: Path) -> SplitFile | None:
    """One COCO file that isn't divided yet: ``place`` itself, or the only JSON file in the folder ``place``.

    Its images may lie beside it, in ``images/``, or, for ``instances_NAME.json``, in ``images/NAME`` (CVAT).
    """
    if place.is_file():
        if place.suffix.lower() in ARCHIVES:
            return None
        file = place
    else:
        files = [
            found
            for folder in (place, place / "annotations")
            if folder.is_dir()
            for found in sorted(folder.iterdir())
            if found.suffix.lower() == ".json" and not found.name.startswith(".") and found.is_file()
        ]
        if len(files) != 1:
            return None
        (file,) = files
    parent = file.parent
    bases = (parent, parent.parent) if parent.name == "annotations" else (parent,)
    name = file.stem.removeprefix("instances_")
    places = (f"images/{name}", "images", "JPEGImages", name, "data", ".")
    return SplitFile(file, tuple(base / place for base in bases for place in places), "one file")


def _other_format(folder: Path) -> str | None:
    """The format of another annotation tool that the folder seems to hold."""
    if (folder / "SegmentationObject").is_dir():
        return "voc"
    if any(folder.glob("*.yaml")) and any(place.is_dir() for place in (folder / "labels", folder / "train" / "labels")):
        return "yolo"
    if (folder / "annotations.xml").is_file():
        return "cvat"
    files = (file for file in sorted(folder.glob("*.json")) if file.is_file())  # not a pipe, which would be waited for
    for file in itertools.islice(files, 3):
        with contextlib.suppress(OSError), file.open("rb") as opened:
            start = opened.read(1 << 16)
            if b'"shapes"' in start and not file.name.startswith("."):
                return "labelme"
            if b'"annotations"' in start and b'"result"' in start:
                return "labelstudio"
    return None


def blocked(folder: Path, split: str) -> DataError | None:
    """The error for a split whose file's name is there, but no file."""
    for layout in LAYOUTS:
        file = folder / layout.annotations.format(split=split)
        if file.is_symlink() and not file.exists():
            return DataError(f"{file}: a link that leads nowhere", remedy="copy the file itself there")
        if file.exists() and not file.is_file():
            return DataError(f"{file}: a folder, a pipe or a device, expected a file", remedy="put the COCO file there")
    return None


def missing(folder: Path, split: str) -> DataError:
    """The error for a folder without that split."""
    if folder.is_file():
        if folder.suffix.lower() in ARCHIVES:
            return DataError(f"{folder}: an archive, not a folder", remedy="unpack it, and give the folder")
        return DataError(
            f"{folder}: a file, expected the folder that holds train.json and val.json",
            remedy=f"give its folder; `edge-seg data split {folder} OUT` divides one COCO file into train and val",
        )
    if not folder.is_dir():
        return DataError(f"{folder}: no such folder", remedy="give the folder that holds train.json and val.json")
    if (problem := blocked(folder, split)) is not None:
        return problem
    names = ", ".join(layout.annotations.format(split=split) for layout in LAYOUTS)
    remedy = (
        "put a COCO file there, or make one: `edge-seg data import` converts other tools' files, `edge-seg data synth` "
        "draws a set"
    )
    single = find_single(folder)
    if (kind := _other_format(folder)) is not None:
        remedy = f"it looks like {kind}: `edge-seg data import {kind} {folder} OUT` converts it"
    elif single is not None or find_split(folder, "train") or find_split(folder, "val"):
        what = single.file if single is not None else folder
        remedy = f"`edge-seg data split {what} OUT` divides one COCO file into train and val"
    return DataError(f"{folder}: holds no annotations for {split!r}; looked for {names}", remedy=remedy)

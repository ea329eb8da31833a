"""Reads a COCO instance file and finds its images; everything is checked before anything is computed with it.

What can be mended without a guess is mended and counted (a box from its outline, an outline that reaches over the
edge, an image named as on another machine); what can't is named, all of it in one run.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edge_seg import limits
from edge_seg.data.classes import ClassEdits
from edge_seg.data.dataset import Annotation, CocoDataset, ImageRecord
from edge_seg.data.findings import Findings
from edge_seg.data.frame import Evidence, Frame, find_frame
from edge_seg.data.layout import SPLITS, SplitFile, find_split, missing
from edge_seg.data.locate import ImageFinder, name_parts
from edge_seg.data.outline import Fault, Notes, choose_area, choose_box, decode, is_number, read_outline, shown
from edge_seg.errors import DataError
from edge_seg.files import read_json
from edge_seg.words import counted

__all__ = [
    "Annotation",
    "CocoDataset",
    "ImageRecord",
    "ReadOptions",
    "decode",
    "load_file",
    "load_split",
    "load_splits",
]


_NAME_FIELDS = ("file_name", "path", "coco_url", "flickr_url")
"""Where an image's name stands, the first that is there."""
_FEWEST_IMAGES, _FEWEST_OBJECTS = 3, 8
"""Of fewer the places say nothing."""


@dataclass(frozen=True)
class ReadOptions:
    """How a data set is read.

    ``exif``: "apply" when the outlines of images that EXIF turns were drawn on the upright image, "ignore" when on the
    image as stored, "" when that isn't known. ``scale_normalised``: outlines of values 0…1 are multiplied by the size.
    """

    exif: str = ""
    scale_normalised: bool = False
    edits: ClassEdits = field(default_factory=ClassEdits)


def load_split(folder: Path, split: str) -> CocoDataset:
    """Reads ``split`` ("train" or "val") of the data set in ``folder``, in any of the layouts of ``layout.py``.

    Raises :class:`DataError` naming every file, annotation and value that can't be used.
    """
    found = find_split(folder, split)
    if found is None:
        raise missing(folder, split)
    return load_file(found.file, found.folders, root=folder)


def load_splits(folder: Path) -> tuple[CocoDataset, CocoDataset]:
    """Train and validation split, with the classes of train; raises :class:`DataError` as :func:`load_split`."""
    findings = Findings()
    places = [find_split(folder, split) or _fail(folder, split) for split in SPLITS]
    train, val = (read_file(place.file, place.folders, findings, root=folder) for place in places)
    if val is not None and train is not None:
        val = align(train, val, findings)
    findings.refuse()
    assert train is not None, "what can't be read at all is a finding"
    assert val is not None, "what can't be read at all is a finding"
    return (
        replace(train, findings=tuple(f for f in findings if f.file == str(train.coco_json))),
        replace(val, findings=tuple(f for f in findings if f.file != str(train.coco_json))),
    )


def _fail(folder: Path, split: str) -> SplitFile:
    raise missing(folder, split)


def load_file(file: Path, folders: Sequence[Path], *, root: Path | None = None) -> CocoDataset:
    """Reads one COCO file whose images lie in one of ``folders``, or below ``root``; raises as :func:`load_split`."""
    findings = Findings()
    dataset = read_file(file, folders, findings, root=root)
    findings.refuse()
    assert dataset is not None, "what can't be read at all is a finding"
    return replace(dataset, findings=tuple(findings))


def read_file(
    file: Path,
    folders: Sequence[Path],
    findings: Findings,
    *,
    root: Path | None = None,
    options: ReadOptions | None = None,
) -> CocoDataset | None:
    """What can be read of a COCO file, all faults added to ``findings``; None when it isn't a COCO file at all."""
    try:
        repeated: set[str] = set()
        plain = read_json(file, DataError, limits.DATASET_JSON_BYTES, allow_nan=True, repeated=repeated)
    except DataError as problem:
        findings.add("file", "", "", f"{problem.message}{': ' if problem.remedy else ''}{problem.remedy}")
        return None
    if not isinstance(plain, dict):
        found = f"expected an object with images, annotations and categories, found {shown(plain)}{_like(plain)}"
        findings.add("file", file, "", found)
        return None
    if repeated:
        findings.add("key-twice", file, "", ", ".join(map(repr, sorted(repeated))))
    bad = [part for part in ("images", "annotations", "categories") if not isinstance(plain.get(part), list)]
    for part in bad:
        found = shown(plain[part]) if part in plain else "nothing"
        findings.add("file", file, part, f"expected a list, found {found}{_like(plain)}")
    if bad:
        return None
    if any(isinstance(entry, dict) and "segments_info" in entry for entry in plain["annotations"][:1]):
        findings.add("panoptic", file, "annotations", "they have segments_info")
        return None
    return _Reader(file, ImageFinder(folders, root), findings, options or ReadOptions()).read(plain)


def _like(plain: Any) -> str:
    """What else a JSON file may be, for a message."""
    if isinstance(plain, dict) and ("shapes" in plain or "_via_img_metadata" in plain):
        return ": this is labelme's" if "shapes" in plain else ": this is VIA's own project; export COCO there"
    first = plain[0] if isinstance(plain, list) and plain else None
    if not isinstance(first, dict):
        return ""
    if "data" in first and ("annotations" in first or "predictions" in first):
        return ": this is Label Studio's; `edge-seg data import labelstudio` converts it"
    if "score" in first:
        return ": these are results (detections), not annotations"
    if "bbox_mode" in first or (isinstance(first.get("annotations"), list) and "file_name" in first):
        return (
            ": this is Detectron2's list of images; convert_to_coco_json of detectron2.data.datasets.coco writes COCO"
        )
    return ""


@dataclass
class _Image:
    """An entry of ``images``: ``path`` is None when there is no file for it."""

    number: int | str
    name: str
    path: Path | None
    frame: Frame
    found: list[Annotation] = field(default_factory=list)

    @property
    def place(self) -> str:
        """How findings name it: the file where there is one."""
        return self.name if self.path is None else str(self.path)


class _Reader:
    """One COCO file on its way into memory."""

    def __init__(self, file: Path, finder: ImageFinder, findings: Findings, options: ReadOptions) -> None:
        self._file, self._finder, self._findings, self._options = file, finder, findings, options
        self._ids: set[int] = set()
        self._unreadable: set[int | str] = set()
        """Ids of categories that are listed, and can't be used."""
        self._lost: set[int | str] = set()
        """Ids of such images."""
        self._next = 0

    def read(self, plain: dict[str, Any]) -> CocoDataset | None:
        """The data set; None when it has no class or no image."""
        labels, classes, category_ids = self._categories(plain["categories"])
        images = self._images(plain["images"])
        numbers = [key for entry in plain["annotations"] if isinstance(entry, dict) for key in [_key(entry.get("id"))]]
        self._next = max((number for number in numbers if isinstance(number, int)), default=0)
        for position, entry in enumerate(plain["annotations"]):
            self._annotation(position, entry, images, labels)
        if not classes or not images:
            return None
        evidence = Evidence()
        for image in images.values():
            if image.frame.stored is not None and image.found:
                evidence.add(image.frame, *(max(a.box[edge] for a in image.found) for edge in (2, 3)))
        if evidence.text:
            self._add("exif-evidence", "", evidence.text)
        self._look_at_corners(images)
        return CocoDataset(self._file, self._records(images), classes, category_ids)

    def _add(self, kind: str, subject: str, text: str, image: str = "") -> None:
        self._findings.add(kind, self._file, subject, text, image)

    def _id(self, where: str, entry: Any, expected: str) -> int | str | None:
        """An entry's id; None, with a finding, for one that has none."""
        if not isinstance(entry, dict):
            self._add("entry", where, f"expected {expected}, found {shown(entry)}")
            return None
        key = _key(entry.get("id"))
        if key is None:
            found = shown(entry["id"]) if "id" in entry else "nothing"
            self._add("entry", f"{where}.id", f"expected a whole number, found {found}")
        return key

    def _categories(self, entries: list[Any]) -> tuple[dict[int | str, int | None], tuple[str, ...], tuple[int, ...]]:
        """Category id → label, or None for a dropped class; the classes, and a category id for each."""
        labels: dict[int | str, int | None] = {}
        own: dict[int | str, str] = {}
        names: list[str] = []
        ids: list[int] = []
        for position, entry in enumerate(entries):
            key = self._id(f"categories[{position}]", entry, "an object with id and name")
            if key is None:
                continue
            name = entry.get("name")
            if isinstance(name, int) and not isinstance(name, bool):
                name = str(name)
            if not isinstance(name, str) or not name.strip() or len(name) > limits.NAME_LENGTH:
                length = (
                    f" of at most {limits.NAME_LENGTH} characters" if isinstance(name, str) and name.strip() else ""
                )
                self._add("entry", f"category {key}: name", f"expected a name{length}, found {shown(name)}")
                self._unreadable.add(key)
                continue
            name = unicodedata.normalize("NFC", name)
            if key in own:
                if own[key] != name:
                    text = f"expected an id used only once, found {key} for {own[key]!r} and {name!r}"
                    self._add("duplicate-id", f"categories[{position}].id", text)
                continue
            own[key] = name
            new = self._options.edits.name(key, name)
            if new is None:
                labels[key] = None
                continue
            if new in names and not self._options.edits.merges(new):
                first = next(k for k in own if labels.get(k) == names.index(new))
                self._add("category-names", f"categories {first} and {key}", f"both are named {new!r}")
            if new not in names or not self._options.edits.merges(new):
                names.append(new)
                ids.append(key if isinstance(key, int) else 0)
            labels[key] = len(names) - 1 - names[::-1].index(new)
        if not entries:
            self._add("file", "categories", f"expected at least one, found {shown(entries)}")
        similar: dict[str, list[str]] = {}
        for name in dict.fromkeys(names):
            similar.setdefault("".join(name.split()).casefold(), []).append(name)
        for group in similar.values():
            if len(group) > 1:
                self._add("category-similar", "categories", ", ".join(map(repr, group)))
        if 0 in ids and any(isinstance(key, str) for key in own):
            ids = list(range(1, len(names) + 1))
        return labels, tuple(names), tuple(ids)

    def _images(self, entries: list[Any]) -> dict[int | str, _Image]:
        images: dict[int | str, _Image] = {}
        if not entries:
            self._add("file", "images", "expected at least one image, found []")
        for position, entry in enumerate(entries):
            key = self._id(f"images[{position}]", entry, "an object with id and file_name")
            if key is None:
                continue
            image = self._image(key, entry)
            if image is None:
                self._lost.add(key)
                continue
            if key in images:
                before = images[key]
                if before.name != image.name:
                    text = f"expected an id used only once, found {key} for {before.name!r} and {image.name!r}"
                    self._add("duplicate-id", f"images[{position}].id", text, image.place)
                continue
            images[key] = image
        return images

    def _image(self, key: int | str, entry: dict[str, Any]) -> _Image | None:
        field = next((field for field in _NAME_FIELDS if isinstance(entry.get(field), str)), "file_name")
        name = entry.get(field)
        path = None
        if not isinstance(name, str) or not name.strip():
            self._add("entry", f"image {key}: file_name", f"expected a file name, found {shown(name)}")
            name = ""
        subject = f"image {key} ({_short(name)})" if name else f"image {key}"
        if name:
            try:
                located = self._finder.find(name)
                path = located.path
                if not located.exact or field != "file_name":
                    self._add("image-elsewhere", subject, f"found as {path}, by its {field}", str(path))
            except Fault as fault:
                self._add(fault.kind, subject, fault.text, str(path or name))
        notes: Notes = []
        try:
            stated = entry.get("width"), entry.get("height")
            frame = find_frame(path, *stated, self._options.exif, notes)
        except Fault as fault:
            self._add(fault.kind, subject, fault.text, str(path or name))
            return None
        for kind, text in notes:
            self._add(kind, subject, text, str(path or name))
        return _Image(key, name, path, frame)

    def _annotation(
        self, position: int, entry: Any, images: dict[int | str, _Image], labels: dict[int | str, int | None]
    ) -> None:
        if not isinstance(entry, dict):
            self._add("entry", f"annotations[{position}]", f"expected an object, found {shown(entry)}")
            return
        number = _key(entry.get("id"))
        where = f"annotation {number}" if number is not None else f"annotations[{position}]"
        image_key, category = _known(entry.get("image_id")), _known(entry.get("category_id"))
        image = images.get(image_key)
        label = labels.get(category, -1)
        usable = label != -1
        if image is None and image_key in self._lost:
            self._add("left-with", where, f"image_id {image_key}")
        elif image is None:
            text = f"expected the id of an image in the same file, found {shown(entry.get('image_id'))}"
            self._add("image-unknown", f"{where}: image_id", text)
        if label == -1 and (category in self._unreadable or not labels):
            self._add("left-with", where, f"category_id {category}", image.place if image else "")
        elif label == -1:
            text = f"expected one of {shown(sorted(labels, key=str))}, found {shown(entry.get('category_id'))}"
            self._add("category-unknown", f"{where}: unknown category_id", text, image.place if image else "")
        crowd = entry.get("iscrowd")
        if crowd not in (0, 1, None, "0", "1"):
            self._add(
                "entry", f"{where}: iscrowd", f"expected 0 or 1, found {shown(crowd)}", image.place if image else ""
            )
            usable = False
        if image is None:
            return
        if label is None:
            self._add("dropped", where, f"its class is dropped, category_id {entry.get('category_id')}", image.place)
            return
        self._outline(entry, where, image, label if usable else -1, number, crowd in (1, "1"))

    def _outline(
        self, entry: dict[str, Any], where: str, image: _Image, label: int, number: int | str | None, crowd: bool
    ) -> None:
        frame, bbox = image.frame, entry.get("bbox")
        notes: Notes = []
        try:
            outline = read_outline(
                entry.get("segmentation"),
                frame.drawn_width,
                frame.drawn_height,
                notes,
                bbox=bbox,
                scale_normalised=self._options.scale_normalised,
            )
        except Fault as fault:
            if fault.kind == "no-outline" and bbox is not None:
                fault.text = f"{fault.text} (its bbox is {shown(bbox)})"
            self._add(fault.kind, where, fault.text, image.place)
            return
        finally:
            for kind, text in notes:
                self._add(kind, where, text, image.place)
        notes = []
        box = choose_box(bbox, outline, frame.drawn_width, frame.drawn_height, notes)
        area = choose_area(entry.get("area"), outline, notes)
        for kind, text in notes:
            self._add(kind, where, text, image.place)
        if label == -1:  # its other faults were to be told
            return
        outline, box = frame.turn(outline, box)
        if not isinstance(number, int) or number in self._ids:
            self._next += 1
            shown_id = shown(entry["id"]) if entry.get("id") is not None else "nothing"
            self._add("new-ids", where, f"expected a whole number used only once, found {shown_id}", image.place)
            number = self._next
        self._ids.add(number)
        image.found.append(Annotation(number, label, box, area, crowd, outline.segmentation))

    def _look_at_corners(self, images: dict[int | str, _Image]) -> None:
        """Says so where no outline of many reaches the middle of its image: values of another scale lie up left."""
        held = [image for image in images.values() if image.found]
        objects = sum(len(image.found) for image in held)
        if len(held) < _FEWEST_IMAGES or objects < _FEWEST_OBJECTS or any(image.frame.stored for image in held):
            return
        if any(f.kind == "image-size" and f.file == str(self._file) for f in self._findings):
            return  # which says the same, and why
        across = max(a.box[2] / image.frame.width for image in held for a in image.found)
        down = max(a.box[3] / image.frame.height for image in held for a in image.found)
        if max(across, down) <= 0.5:
            reach = f"the furthest reaches {across:.0%} of the width and {down:.0%} of the height"
            self._add("outline-corner", "", f"of {objects} objects in {len(held)} images {reach}")

    def _records(self, images: dict[int | str, _Image]) -> tuple[ImageRecord, ...]:
        by_path: dict[Path, list[_Image]] = {}
        for image in images.values():
            if image.path is not None:
                by_path.setdefault(image.path, []).append(image)
            elif image.found:
                self._add("left-with", f"image {image.number}", counted(len(image.found), "object"))
        taken = {image.number for image in images.values() if isinstance(image.number, int)}
        text_ids = [image for image in images.values() if not isinstance(image.number, int)]
        if text_ids:
            text = f"{counted(len(text_ids), 'image')} numbered from {max(taken, default=0) + 1} on"
            self._add("new-ids", f"image {text_ids[0].number}", text)
        following = max(taken, default=0)
        records = []
        for path, entries in by_path.items():
            if len(entries) > 1 and not self._may_merge(path, entries):
                continue
            number = entries[0].number
            if not isinstance(number, int):
                following += 1
                number = following
            frame = entries[0].frame
            objects = self._without_copies([a for entry in entries for a in entry.found], path)
            records.append(ImageRecord(number, path, frame.width, frame.height, tuple(objects)))
        return tuple(records)

    def _may_merge(self, path: Path, entries: list[_Image]) -> bool:
        """Whether the entries of one file are of one image; says so, or why not."""
        subject = f"images {', '.join(str(entry.number) for entry in entries)} ({path.name})"
        names = {"/".join(name_parts(entry.name)) for entry in entries}
        if len(names) > 1:
            text = f"{', '.join(repr(entry.name) for entry in entries)} would all be {path}"
            self._add("image-ambiguous", subject, text, str(path))
            return False
        sizes = dict.fromkeys((entry.frame.width, entry.frame.height) for entry in entries)
        if len(sizes) > 1:
            found = ", ".join(f"{width} x {height}" for width, height in sizes)
            self._add("image-twice-differs", subject, f"expected one size, found {found}", str(path))
            return False
        counts = ", ".join(str(len(entry.found)) for entry in entries)
        text = f"one image with {len(entries)} entries of {counts} objects: in each the others would be background"
        self._add("image-twice", subject, text, str(path))
        return True

    def _without_copies(self, objects: list[Annotation], path: Path) -> list[Annotation]:
        """The objects without those that are equal to an earlier one."""
        places = Counter((a.label, a.box) for a in objects)
        if len(places) == len(objects):
            return objects
        kept: list[Annotation] = []
        for one in objects:
            before = next(
                (
                    k
                    for k in kept
                    if (k.label, k.box, k.crowd) == (one.label, one.box, one.crowd)
                    and k.segmentation == one.segmentation
                ),
                None,
            )
            if places[one.label, one.box] > 1 and before is not None:
                self._add("same-object", f"annotation {one.id}", f"equals annotation {before.id}", str(path))
            else:
                kept.append(one)
        return kept


def align(train: CocoDataset, val: CocoDataset, findings: Findings) -> CocoDataset:
    """``val`` with the classes of ``train``, matched by name; what can't be is added to ``findings``.

    Validation files may list only the categories that occur in them.
    """
    mine = dict(zip(train.classes, train.category_ids, strict=True))
    theirs = dict(zip(val.classes, val.category_ids, strict=True))
    if val.classes == train.classes and val.category_ids == train.category_ids:
        return val
    used = Counter(a.label for record in val.images for a in record.annotations)
    extra = [name for label, name in enumerate(val.classes) if name not in mine and used[label]]
    categories = (f for f in findings if f.file == str(train.coco_json) and f.subject.startswith("categor"))
    if extra and not any(f.kind in ("entry", "duplicate-id") for f in categories):  # train may list it, badly
        text = f"its categories {theirs} differ from {mine} in {train.coco_json.name}: {', '.join(map(repr, extra))}"
        findings.add("category-extra", val.coco_json, "categories", text)
    differing = [name for name, number in theirs.items() if mine.get(name, number) != number]
    if differing:
        text = ", ".join(f"{name!r} is {theirs[name]}, in train {mine[name]}" for name in differing[:3])
        findings.add("category-order", val.coco_json, "categories", text)
    place = {name: label for label, name in enumerate(train.classes)}
    labels = [place.get(name, -1) for name in val.classes]
    images = tuple(
        replace(
            record,
            annotations=tuple(replace(a, label=labels[a.label]) for a in record.annotations if labels[a.label] >= 0),
        )
        for record in val.images
    )
    return replace(val, images=images, classes=train.classes, category_ids=train.category_ids)


def _short(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:77]}..."


def _key(value: Any) -> int | str | None:
    """An id: whole numbers also as text or 1.0; other text as it is; None for what can't be one."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if is_number(value) and value == int(value) else None
    if isinstance(value, str) and value.strip():
        text = value.strip()
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else text
    return None


def _known(value: Any) -> int | str:
    """An id to look up; one that can't be is not found."""
    key = _key(value)
    return "" if key is None else key

"""What is wrong or odd in a data set, collected over a whole run: every fault is named, not only the first.

An *error* stops a training, a *warning* says what was mended, left out or is likely a mistake, a *note* only informs.
Findings of one kind are shown together: their number and the first few of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.errors import DataError

ERROR, WARNING, NOTE = "error", "warning", "note"
SHOWN = 5
"""Of each kind, so many are shown."""


@dataclass(frozen=True)
class Kind:
    """A kind of finding: how grave it is, what all of its kind have in common, and what to do about it."""

    severity: str
    title: str
    remedy: str = ""


FIX = "`edge-seg data check DIR --fix OUT`, or in an import --skip-invalid, leaves them out"
EXIF = (
    "if the outlines were drawn on the upright image (Label Studio, a browser), `edge-seg data check DIR --exif apply "
    "--fix OUT` corrects the sizes; if on the image as it is stored, unturned, `--exif ignore --fix OUT` turns the "
    "outlines; in an import the option is the same. Don't remove the EXIF data: outlines of upright images would be "
    "wrong then"
)

KINDS: dict[str, Kind] = {
    # The files
    "file": Kind(ERROR, "a file can't be used"),
    "panoptic": Kind(ERROR, "COCO panoptic, which has no outlines", "convert it to instances (panopticapi does)"),
    "key-twice": Kind(
        ERROR, "one name stands twice in a JSON object: a reader takes one of them", "keep the right one"
    ),
    "layouts": Kind(
        WARNING, "several annotation files may be one split's: the first was taken", "move the others away"
    ),
    "not-split": Kind(
        ERROR, "not divided into train and val", "`edge-seg data split DIR OUT` divides it into train and val"
    ),
    # COCO entries
    "entry": Kind(ERROR, "entries can't be read", FIX),
    "duplicate-id": Kind(ERROR, "one id stands for different entries", "number them anew where they were exported"),
    "new-ids": Kind(WARNING, "ids are missing, no whole numbers, or used twice: numbered anew"),
    "category-unknown": Kind(ERROR, "annotations name a category that isn't listed", f"list it, or: {FIX}"),
    "image-unknown": Kind(ERROR, "annotations belong to an image that isn't listed", f"list it, or: {FIX}"),
    "left-with": Kind(NOTE, "annotations go with a category or an image that can't be read"),
    "category-names": Kind(
        ERROR,
        "two categories have one name",
        "`edge-seg data check DIR --fix OUT --merge-classes NAME=NAME` makes them one, "
        "`--rename '#ID=OTHER'` tells them apart",
    ),
    "category-similar": Kind(
        WARNING,
        "names of classes differ in case or blanks only",
        "`edge-seg data check DIR --fix OUT --merge-classes 'A,B=NAME'` makes them one",
    ),
    "category-empty": Kind(
        WARNING,
        "classes without an object",
        "annotate some; `edge-seg data check DIR --fix OUT --drop NAME` takes a class out "
        "(Roboflow writes its group of classes as one)",
    ),
    "category-extra": Kind(
        ERROR, "val has objects of classes that train doesn't have", "list the same categories in both files"
    ),
    "dropped": Kind(NOTE, "objects of classes that --drop names: left out"),
    "category-order": Kind(WARNING, "categories of val have other ids than those of train: matched by name"),
    # Image entries and files
    "image-missing": Kind(ERROR, "image files are missing", f"copy them there; {FIX}"),
    "image-unlisted": Kind(
        NOTE, "image files that no annotation file lists: not used", "list those without objects too: they teach much"
    ),
    "image-unannotated": Kind(NOTE, "image files without an annotation file: left out"),
    "image-background": Kind(NOTE, "image files without a text file of outlines: taken as images without objects"),
    "image-ambiguous": Kind(ERROR, "image files can't be told apart", "give file_name with its folder"),
    "image-elsewhere": Kind(WARNING, "image files were found by the last part of their name"),
    "image-twice": Kind(WARNING, "images have several entries: their objects were put together"),
    "image-twice-differs": Kind(ERROR, "entries of one image file disagree", "keep the right one"),
    "image-size": Kind(
        ERROR,
        "images have another size than their annotations say",
        "correct the sizes (and check the outlines), or bring back the image that was annotated",
    ),
    "size-read": Kind(WARNING, "widths and heights are missing: read from the image file"),
    "image-unreadable": Kind(ERROR, "images can't be read", "save them again as JPEG or PNG, or leave them out"),
    "exif-size": Kind(ERROR, "images are turned by EXIF, and their annotations have the unturned size", EXIF),
    "exif-evidence": Kind(NOTE, "images are turned by EXIF, and their annotations have the unturned size"),
    "exif-unclear": Kind(
        WARNING,
        "images are turned by EXIF in a way that leaves their size: were they annotated upright or unturned?",
        "look at one; `--exif apply` or `--exif ignore` (in an import, or with `data check DIR --fix OUT`) settles it. "
        "Without either they are taken as annotated upright",
    ),
    "exif-upright": Kind(NOTE, "images are turned by EXIF, and were annotated upright: taken so"),
    "exif-turned": Kind(WARNING, "images are turned by EXIF: outlines were turned with them (--exif ignore)"),
    "exif-sized": Kind(WARNING, "images are turned by EXIF: sizes were corrected (--exif apply)"),
    "depth": Kind(
        WARNING,
        "16-bit images use only a part of their range, and come out nearly black",
        "stretch the values to 0…65535 (multiply 12-bit values by 16)",
    ),
    "frames": Kind(WARNING, "files hold several images (pages, an animation): the first is taken"),
    "alpha": Kind(
        WARNING,
        "images have transparent pixels: the colours that lie under them are taken",
        "lay them on the background that the camera would see",
    ),
    "same-pixels": Kind(WARNING, "images have the same pixels", "keep one of them"),
    "both-splits": Kind(
        WARNING,
        "images are in both splits: the accuracy on them says nothing about new images",
        "`edge-seg data split` divides a set anew",
    ),
    # Outlines
    "no-outline": Kind(ERROR, "objects have no outline", f"outlines are what Mask R-CNN learns: draw them, or: {FIX}"),
    "outline": Kind(ERROR, "outlines can't be read", FIX),
    "outline-outside": Kind(
        ERROR, "outlines lie outside of the image", f"were image and annotations resized alike? {FIX}"
    ),
    "outline-normalised": Kind(
        ERROR,
        "outlines are given as parts of the image's size, 0…1",
        "multiply them by width and height; `edge-seg data check DIR --fix OUT` does where no box says otherwise",
    ),
    "outline-scaled": Kind(
        WARNING, "outlines are given as parts of the image's size, 0…1, their boxes in pixels: multiplied by the size"
    ),
    "outline-cut": Kind(WARNING, "outlines reach over the image's edge: cut off there"),
    "outline-parts": Kind(WARNING, "parts of outlines have fewer than three points: left out"),
    "outline-inside": Kind(
        WARNING,
        "parts of outlines lie inside other parts: they are joined, no hole is cut",
        "a hole needs run lengths (RLE), or one polygon that goes round it",
    ),
    "outline-corner": Kind(
        WARNING,
        "no outline reaches the right or the lower half of its image",
        "were images enlarged after they were annotated, or are values percentages? Look: `data check DIR --html FILE`",
    ),
    "no-pixels": Kind(WARNING, "outlines cover no pixel: left out"),
    "box": Kind(WARNING, "boxes are missing, empty, or not where the outline is: taken from the outline"),
    "area": Kind(WARNING, "areas are missing, 0, or not those of the outline: taken from the outline"),
    "same-object": Kind(WARNING, "objects occur twice, with the same class and outline: one was left out"),
    # Other annotation tools
    "no-area": Kind(WARNING, "shapes without an area (points, lines) are no objects: left out"),
    "not-annotated": Kind(NOTE, "files aren't annotations of the format: left out"),
    "duplicate": Kind(WARNING, "several annotation files are for one image: the one with its name was taken"),
    "hole": Kind(NOTE, "shapes named __hole__ were cut out of the object around them"),
    "ignored": Kind(NOTE, "shapes named __ignore__ or _background_ are no objects: left out"),
    "grouped": Kind(NOTE, "shapes with one label and one group_id were put together: parts of one object"),
    "labels-several": Kind(WARNING, "regions have several labels: the first was taken"),
    "classes-mixed": Kind(WARNING, "objects have pixels of several classes: the class of most was taken"),
    "names-twice": Kind(ERROR, "several classes have one name", "give each a name of its own in data.yaml"),
    "names-missing": Kind(WARNING, "the classes have no names: their numbers are taken", "list names in data.yaml"),
    "task-unannotated": Kind(NOTE, "tasks without an annotation, or with a cancelled one: left out"),
    "turned-view": Kind(
        WARNING,
        "regions were drawn on an image that the tool showed turned (image_rotation)",
        "look at them: `edge-seg data check OUT --html FILE`",
    ),
    "image-data": Kind(
        WARNING,
        "the image in the file (imageData) isn't the one beside it, which was taken",
        "labelme shows the one in the file: compare them",
    ),
    "split-anew": Kind(NOTE, "the source's own division isn't one into train and val: divided anew"),
    "list-missing": Kind(WARNING, "lists of a split name images that aren't there"),
    "versions": Kind(WARNING, "images were annotated more than once: the first annotation was taken"),
    "label-unknown": Kind(ERROR, "labels aren't among the classes", "add them to --classes, or correct them"),
    # What is left for training
    "nothing-left": Kind(ERROR, "nothing to train on", "crowds, and what is too small at this size, aren't trained on"),
    "vanish": Kind(
        WARNING, "objects vanish at the network's size", "train with a larger --size, or cut the images into tiles"
    ),
    "few": Kind(WARNING, "classes with few objects to train on", "annotate more, or merge classes"),
    "crowd": Kind(WARNING, "objects are marked as crowds: not trained on", "set iscrowd to 0 if each is one object"),
    "val-empty": Kind(
        WARNING, "val has no object that can be used: mAP can't be measured", "put annotated images into it"
    ),
}


@dataclass(frozen=True)
class Finding:
    """One thing found: its kind (a key of :data:`KINDS`), the annotation file, what it is about, and what is the case.

    ``subject`` is "annotation 3" or "image 4 (b.jpg)"; ``image`` is the image file's name where one is concerned.
    """

    kind: str
    file: str
    subject: str
    text: str
    image: str = ""

    @property
    def severity(self) -> str:
        return KINDS[self.kind].severity

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.subject, self.text) if part)

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "severity": self.severity,
            "file": self.file,
            "subject": self.subject,
            "text": self.text,
            "image": self.image,
        }


@dataclass(frozen=True)
class Group:
    """All findings of one kind."""

    kind: str
    findings: tuple[Finding, ...]

    @property
    def severity(self) -> str:
        return KINDS[self.kind].severity

    def lines(self, shown: int = SHOWN, more: str = "--json lists all") -> list[str]:
        """The group as text: a heading with the number, the first few, and the remedy; ``more`` says where all are."""
        kind, count = KINDS[self.kind], len(self.findings)
        if count == 1:
            lines = [f"{kind.title}: {self.findings[0]}"]
        else:
            lines = [f"{kind.title} ({count}):", *(f"  {finding}" for finding in self.findings[:shown])]
        if count > max(1, shown):
            lines.append(f"  … and {count - shown} more ({more})")
        if kind.remedy:
            lines.append(f"  → {kind.remedy}")
        return lines


class Findings:
    """What was found so far; readers add to it."""

    def __init__(self) -> None:
        self._all: list[Finding] = []

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def add(self, kind: str, file: Path | str, subject: str, text: str, image: str = "") -> None:
        """Adds one finding."""
        self._all.append(Finding(kind, str(file), subject, text, image))

    def extend(self, others: Iterable[Finding]) -> None:
        """Adds those of another reader."""
        self._all.extend(others)

    def of(self, severity: str) -> list[Finding]:
        """Those of one severity."""
        return [finding for finding in self._all if finding.severity == severity]

    def groups(self, *severities: str) -> list[Group]:
        """By kind, errors first, then warnings and notes; in the order in which the kinds turned up."""
        by_kind: dict[str, list[Finding]] = {}
        for finding in self._all:
            by_kind.setdefault(finding.kind, []).append(finding)
        wanted = severities or (ERROR, WARNING, NOTE)
        order = {severity: place for place, severity in enumerate((ERROR, WARNING, NOTE))}
        groups = [Group(kind, tuple(found)) for kind, found in by_kind.items() if KINDS[kind].severity in wanted]
        return sorted(groups, key=lambda group: order[group.severity])

    def lines(self, *severities: str) -> list[str]:
        """The groups of these severities as text."""
        return [line for group in self.groups(*severities) for line in group.lines()]

    def refuse(self) -> None:
        """Raises :class:`DataError` with all errors, if there are any."""
        groups = self.groups(ERROR)
        if not groups:
            return
        lines = [line for group in groups for line in group.lines()]
        remedy = ""
        if len(groups) == 1:
            remedy = KINDS[groups[0].kind].remedy
            lines = [line for line in lines if not line.startswith("  → ")]
        raise DataError("\n".join(lines), remedy=remedy)

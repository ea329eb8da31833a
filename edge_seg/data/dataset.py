"""What a data set is in memory: images with their annotations, one split at a time.

Boxes are (x0, y0, x1, y1) in pixels of the upright image, pixel (0, 0) covering 0..1. A label is a class's place, from
0, in the list of classes.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_seg.data.findings import Finding

if TYPE_CHECKING:
    from pycocotools.coco import COCO


@dataclass(frozen=True)
class Annotation:
    """One object. ``segmentation`` is polygons [[x, y, …], …], or run lengths {"size", "counts"}, within the image."""

    id: int
    label: int
    box: tuple[float, float, float, float]
    area: float
    crowd: bool
    segmentation: Any


@dataclass(frozen=True)
class ImageRecord:
    """One image: where it lies, its size in pixels when upright, and what is in it (maybe nothing)."""

    id: int
    path: Path
    width: int
    height: int
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True)
class CocoDataset:
    """One split. ``classes`` and ``category_ids`` are in the order of the labels; ``findings`` tell what was mended."""

    coco_json: Path
    images: tuple[ImageRecord, ...]
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    findings: tuple[Finding, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def ground_truth(self, images: Iterable[ImageRecord] | None = None) -> COCO:
        """What pycocotools evaluates against, crowds included; of all images, or of those given.

        Annotations are numbered anew from 1: pycocotools takes a match with annotation 0 for no match at all.
        """
        from pycocotools.coco import COCO

        coco = COCO()
        coco.dataset = self.as_coco(images)
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
        return coco

    def as_coco(self, images: Iterable[ImageRecord] | None = None) -> dict[str, Any]:
        """The content of a COCO file; of all images, or of those given. Annotations are numbered anew from 1."""
        records = self.images if images is None else tuple(images)
        annotations = [(record, annotation) for record in records for annotation in record.annotations]
        return {
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

"""Other annotation tools' files: each module reads, or writes, one format."""

from __future__ import annotations

IMPORTS = {
    "labelme": "a folder of labelme's or X-AnyLabeling's JSON files",
    "yolo": "YOLO segmentation: data.yaml, images/, labels/*.txt",
    "voc": "Pascal VOC masks: JPEGImages/, SegmentationObject/",
    "cvat": "CVAT for images 1.1: annotations.xml and images",
    "labelstudio": "Label Studio's JSON export, and images",
}
EXPORTS = {"labelme": IMPORTS["labelme"], "yolo": IMPORTS["yolo"]}

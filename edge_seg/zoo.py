"""The models by name, with the published figures and where they come from. Needs no paddle."""

from __future__ import annotations

from dataclasses import dataclass

from edge_seg.errors import UsageError

PADDLEX_PAGE = "PaddleX model page, instance segmentation (COCO, V100)"


@dataclass(frozen=True)
class Published:
    """Figures printed by others, never by us. mAP in percent, ``size_mb`` in MB, ``gpu_ms`` in ms a picture."""

    box_map: float
    mask_map: float
    size_mb: float
    gpu_ms: float | None
    source: str
    note: str


@dataclass(frozen=True)
class ZooModel:
    """One model of the zoo: its name on the command line, its title in tables, what others say of it."""

    name: str
    title: str
    summary: str
    published: Published | None = None


_MODELS = (
    ZooModel(
        "mask_rcnn_r50_fpn",
        "MaskRCNN-ResNet50-FPN",
        "the reference: ResNet50 trunk",
        Published(
            38.7,
            34.7,
            177.7,
            160.185,
            PADDLEX_PAGE,
            "160.185 ms is what PaddleDetection release/0.1 docs/BENCHMARK_INFER_cn.md prints for mask_rcnn_r50_1x, "
            "the C4 model without FPN; for R50-FPN it prints 95.72 (1x), 84.545 (2x) and 83.567 with TensorRT FP32",
        ),
    ),
    ZooModel(
        "mask_rcnn_r18_fpn",
        "MaskRCNN-ResNet18-FPN",
        "a light trunk for boards",
        Published(
            33.6,
            30.5,
            189.1,
            None,
            PADDLEX_PAGE,
            "31.3 M parameters are 125 MB in fp32: the published file holds more than the weights",
        ),
    ),
    ZooModel(
        "mask_rcnn_hrnet_fpn",
        "MaskRCNN-HRNet-FPN",
        "HRNet-W18 trunk, few parameters",
        Published(38.7, 34.7, 120.7, None, PADDLEX_PAGE, "the mAP equals the R50 row's; no separate source was found"),
    ),
    ZooModel("mask_rcnn_tiny_fpn", "MaskRCNN-Tiny-FPN", "a narrow ResNet18-FPN for the demo, quick on a CPU"),
)
ZOO = {model.name: model for model in _MODELS}


def find(name: str) -> ZooModel:
    """The zoo's model of that name; :class:`UsageError`, listing the choices, when there is none."""
    if name not in ZOO:
        raise UsageError(
            f"no model named {name!r} in the zoo", remedy=f"choose one of: {', '.join(ZOO)}", code="unknown-model"
        )
    return ZOO[name]


def default_proposals(size: tuple[int, int]) -> int:
    """Proposals for an input of ``size``: as many a pixel as the published recipe's 1000 at 800 x 1344, at least 50.

    320x320 has 100, 640x640 has 400.
    """
    share = size[0] * size[1] / (800 * 1344)
    return max(50, 50 * round(1000 * share / 50))

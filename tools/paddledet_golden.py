"""Writes tests/models/golden: what PaddleDetection 2.6.0's own layers give for tests/models/golden_case.py.

    python3.10 tools/paddledet_golden.py

Makes an environment of its own (.venv-paddledet) and runs there: paddledet wants versions of other libraries that this
project doesn't. The tests need only the files. Run it again after a change of the case, never to make a test pass.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "tests" / "models" / "golden"
VENV = ROOT / ".venv-paddledet"
PADDLEDET = "paddledet==2.6.0"
# paddledet's own list names versions that exclude each other; these are what its modules import.
NEEDS = (
    "paddlepaddle==2.6.2",
    "numpy==1.26.4",
    "opencv-python-headless==4.11.0.86",
    "setuptools<81",
    *("click", "pycocotools", "pyyaml", "scipy", "shapely", "terminaltables", "tqdm", "typeguard", "pyclipper"),
    *("lap", "motmetrics", "imgaug", "scikit-learn", "requests", "visualdl"),
)


def main() -> None:
    """Makes the environment if need be and runs :func:`write` in it."""
    python = VENV / "bin" / "python"
    if not (VENV / "ready").is_file():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *NEEDS], check=True)
        subprocess.run([*pip, "--no-deps", PADDLEDET], check=True)
        (VENV / "ready").touch()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([str(python), __file__, "--write"], env=environment, check=True)


def write() -> None:
    """Runs in paddledet's environment."""
    import numpy as np

    from edge_seg.models.build import build_model, randomize
    from edge_seg.paddle_env import paddle
    from tests.models.golden_case import CLASSES, LOSSES, MODELS, SEED, make_case, summary

    _accept_scalars(paddle)
    case = make_case()
    FOLDER.mkdir(exist_ok=True)
    for name in MODELS:
        ours = build_model(name, CLASSES)
        randomize(ours, SEED)
        parts = _parts(name)
        missing, unexpected = _load(parts, ours.state_dict())
        assert not missing, missing
        assert not unexpected, unexpected
        found: dict[str, Any] = {}
        with paddle.no_grad():
            for key, value in _run(parts, case).items():
                found.update(summary(key, np.array(value)))
        np.savez(FOLDER / f"{name}.npz", **found)
        print(name, {key: float(found[f"{key}.values"][0]) for key in LOSSES})


def _accept_scalars(paddle: Any) -> None:
    """paddledet 2.6.0 joins what since paddle 2.5 are scalars without a dimension."""
    concat = paddle.concat

    def joined(values: Any, axis: int = 0, name: str | None = None) -> Any:
        values = [value.reshape([1]) if value.ndim == 0 else value for value in values]
        return concat(values, axis, name)

    paddle.concat = joined


def _parts(name: str) -> dict[str, Any]:
    """The detector's layers by the first word of their weights' names, as PaddleDetection's configs build them."""
    from ppdet.modeling.backbones import HRNet, ResNet
    from ppdet.modeling.heads import BBoxHead, MaskFeat, MaskHead, RoIAlign, TwoFCHead
    from ppdet.modeling.necks import FPN, HRFPN
    from ppdet.modeling.proposal_generator.anchor_generator import AnchorGenerator
    from ppdet.modeling.proposal_generator.proposal_generator import ProposalGenerator
    from ppdet.modeling.proposal_generator.rpn_head import RPNHead
    from ppdet.modeling.proposal_generator.target_layer import BBoxAssigner, MaskAssigner, RPNTargetAssign

    from tests.models.golden_case import ALL, CLASSES

    scales = [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    if "hrnet" in name:
        backbone, neck = HRNet(width=18, freeze_at=0), HRFPN(in_channels=[18, 36, 72, 144], spatial_scales=scales)
    else:
        depth, widths = (18, [64, 128, 256, 512]) if "r18" in name else (50, [256, 512, 1024, 2048])
        backbone, neck = ResNet(depth=depth), FPN(in_channels=widths, out_channel=256, spatial_scales=scales)
    anchors = AnchorGenerator(
        anchor_sizes=[[32], [64], [128], [256], [512]], aspect_ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64]
    )
    proposals = ProposalGenerator(2000, 1000, 0.7, 0.0, topk_after_collect=True)
    rpn = RPNHead(
        anchors, RPNTargetAssign(ALL, use_random=False), proposals, ProposalGenerator(1000, 1000, 0.7, 0.0), 256
    )
    pool = {"spatial_scale": scales, "sampling_ratio": 0, "aligned": True}
    box = BBoxHead(
        TwoFCHead(256, 1024, 7),
        1024,
        RoIAlign(resolution=7, **pool),
        BBoxAssigner(ALL, use_random=False, num_classes=CLASSES),
        num_classes=CLASSES,
    )
    mask = MaskHead(MaskFeat(256, 256, 4), RoIAlign(resolution=14, **pool), MaskAssigner(CLASSES, 28), CLASSES)
    return {"backbone": backbone, "neck": neck, "rpn_head": rpn, "bbox_head": box, "mask_head": mask}


def _load(parts: dict[str, Any], state: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Gives the layers the arrays of ``state``; names that they miss, and names that they don't know."""
    known = {f"{part}.{name}": value for part, layer in parts.items() for name, value in layer.state_dict().items()}
    for name, value in known.items():
        if name in state:
            assert list(value.shape) == list(state[name].shape), name
            value.set_value(state[name])
    return sorted(known.keys() - state.keys()), sorted(state.keys() - known.keys())


def _run(parts: dict[str, Any], case: Any) -> dict[str, Any]:
    """All outputs and the five losses."""
    from edge_seg.paddle_env import paddle
    from tests.models.golden_case import SHOWN

    for layer in parts.values():
        layer.train()  # the normalisation is frozen all the same
    inputs = {
        "image": paddle.to_tensor(case.images),
        "im_shape": paddle.to_tensor(SHOWN, dtype="float32"),
        "gt_bbox": [paddle.to_tensor(boxes) for boxes in case.boxes],
        "gt_class": [paddle.to_tensor(labels.reshape(-1, 1), dtype="int32") for labels in case.labels],
        # Lists: an array of float64 would be changed in place by each box that is drawn from it.
        "gt_poly": [[[polygon.tolist()] for polygon in found] for found in case.polygons],
    }
    maps = parts["backbone"](inputs)
    found = {f"backbone{i}": x for i, x in enumerate(maps)}
    pyramid = parts["neck"](maps)
    found |= {f"neck{i}": x for i, x in enumerate(pyramid)}
    head = parts["rpn_head"]
    features = head.rpn_feat(pyramid)
    found |= {f"rpn_logits{i}": head.rpn_rois_score(x) for i, x in enumerate(features)}
    found |= {f"rpn_deltas{i}": head.rpn_rois_delta(x) for i, x in enumerate(features)}
    rois, counts, rpn = head(pyramid, inputs)
    found["proposals"] = counts
    box, features = parts["bbox_head"](pyramid[:4], rois, counts, inputs)
    sampled, sampled_counts = parts["bbox_head"].get_assigned_rois()
    mask = parts["mask_head"](
        pyramid[:4], sampled, sampled_counts, inputs, parts["bbox_head"].get_assigned_targets(), features
    )
    losses = {"rpn_cls": rpn["loss_rpn_cls"], "rpn_reg": rpn["loss_rpn_reg"], "box_cls": box["loss_bbox_cls"]}
    return {**found, **losses, "box_reg": box["loss_bbox_reg"], "mask": mask["loss_mask"]}


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    else:
        main()

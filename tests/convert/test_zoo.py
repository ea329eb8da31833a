"""Every model of the zoo, untrained: converted for all recipes, the host's engines find the same on unseen images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.job import Options, random_job
from convert.pipeline import make_bundles
from convert.recipe import parse
from edge_seg.data.synth import draw
from edge_seg.runtime.parity import compare
from edge_seg.runtime.segmenter import Segmenter


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mask_rcnn_r50_fpn", "mask_rcnn_r18_fpn", "mask_rcnn_hrnet_fpn"])
def test_engines_agree_on_unseen_images(name: str, tmp_path: Path) -> None:
    job = random_job(name, 7, 80, Options(size=(96, 128), proposals=50))
    make_bundles(job, parse("arm-fp32,x86-fp32,cpu-fp32"), tmp_path)
    images = [draw(11, 200, 0)[0], np.asarray(cv2.resize(draw(12, 160, 1)[0], (320, 180)), np.uint8)]
    images.append(np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8))
    with (
        Segmenter(tmp_path / "x86-fp32", score=0.02) as lite,
        Segmenter(tmp_path / "cpu-fp32", score=0.02) as inference,
    ):
        instances = 0
        for image in images:
            parity = compare(lite(image), inference(image))
            instances += parity.expected
            assert parity.share >= 0.99
            assert parity.box_px <= 0.01
            assert parity.score <= 1e-4
            assert parity.mask_iou >= 0.999 or parity.mask_pixels <= 2
        assert instances > 0

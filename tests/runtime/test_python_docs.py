"""The code in docs/python.md, run block by block as one program."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.runtime.videos import write_video

BLOCKS = re.compile(r"```python\n(.*?)```", re.DOTALL)


def test_the_examples_run(
    tiny_bundles: Path, tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_bundles / "onnx-fp32", "bundle")
    cv2.imwrite("photo.jpg", photo)
    Path("photos").mkdir()
    cv2.imwrite("photos/a.png", photo)
    write_video(Path("clip.mp4"), 3)
    blocks = BLOCKS.findall((ROOT / "docs" / "python.md").read_text(encoding="utf-8"))
    assert len(blocks) == 6
    # The model is untrained: without a threshold it finds something to show.
    names: dict[str, object] = {}
    exec(blocks[0].replace('Segmenter("bundle")', 'Segmenter("bundle", score=0.0)'), names)
    for block in blocks[1:]:
        exec(block, names)
    assert Path("drawn.jpg").stat().st_size > 0
    assert Path("part-0.png").stat().st_size > 0
    assert Path("results.json").read_text().startswith('[{"image_id": 1, "category_id": ')
    assert {line.split(",")[0] for line in Path("boxes.csv").read_text().splitlines()} == {"0", "1", "2"}
    assert Path("first.jpg").stat().st_size > 0

"""``edge-seg predict RUN``: what a bundle of the run would find, found by paddle's own layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_seg.cli import main
from edge_seg.train.cli import open_run
from edge_seg.train.run import Run


def test_a_run_predicts_as_a_bundle_does(finished: Run, data: Path, edge_seg: Any, tmp_path: Path) -> None:
    image = sorted((data / "images").iterdir())[0]
    out = tmp_path / "out"
    done = edge_seg("predict", finished.path, image, "--out", out, "--score", "0.01", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    (made,) = answer["images"]
    assert Path(made["overlay"]).is_file()
    results = json.loads((out / "predictions.json").read_text())
    assert len(results) == made["instances"] > 0
    with open_run(finished.path, 1, "cpu", 0.01) as segmenter:
        found = segmenter(image)
    np.testing.assert_allclose([r["score"] for r in results], found.scores, atol=1e-5)
    assert {r["category_id"] for r in results} <= set(finished.config.category_ids)


@pytest.mark.parametrize("option", [("--engine", "paddle-lite"), ("--on", "ssh://board")])
def test_what_is_for_bundles_is_refused(
    finished: Run, data: Path, edge_seg: Any, tmp_path: Path, option: tuple[str, str]
) -> None:
    done = edge_seg("predict", finished.path, data / "images", "--out", tmp_path / "out", *option)
    assert done.returncode == 2
    assert f"{option[0]} is for bundles" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_help_names_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--help"]) == 0
    text = capsys.readouterr().out
    assert "RUN|BUNDLE" in text
    assert "edge-seg predict run photo.jpg" in text

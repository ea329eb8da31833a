"""The tutorials, copied alone into an empty folder, with a tiny data set from a server on 127.0.0.1."""

from __future__ import annotations

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_seg.data.synth import make
from edge_seg.train.run import read_config
from edge_seg.train.weights import build, read_arrays, write_arrays

ROOT = Path(__file__).parents[2]
MODELS = ("mask_rcnn_r50_fpn", "mask_rcnn_r18_fpn", "mask_rcnn_hrnet_fpn")
SMALL = ("--epochs", "1", "--short-side", "64", "--long-side", "64")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where ``bears.tar.gz`` is served, a data set laid out as the xiaoduxiong one."""
    made, served = tmp_path / "made/bears", tmp_path / "served"
    make(made, 4, 64, 1)
    (made / "images").rename(made / "JPEGImages")
    served.mkdir()
    with tarfile.open(served / "bears.tar.gz", "w:gz") as archive:
        archive.add(made, "bears")
    handler = functools.partial(Quiet, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def run(folder: Path, model: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs the script from a folder that holds nothing else of this project."""
    folder.mkdir(exist_ok=True)
    shutil.copy(ROOT / f"tutorials/{model}.py", folder)
    return subprocess.run(
        [sys.executable, f"{model}.py", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "EDGE_SEG_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("model", MODELS)
def test_a_script_is_short_and_explains_itself(tmp_path: Path, model: str) -> None:
    assert len((ROOT / f"tutorials/{model}.py").read_text().splitlines()) < 40
    done = run(tmp_path / "alone", model, "--help")
    assert done.returncode == 0, done.stderr
    assert "--weights" in done.stdout


def test_a_data_set_that_cannot_be_had_is_one_message(tmp_path: Path, address: str) -> None:
    done = run(tmp_path / "alone", MODELS[1], "--url", f"{address}/none.tar.gz")
    assert done.returncode == 1
    assert "404" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_training_for_real(tmp_path: Path, address: str) -> None:
    """Data and weights come from the server, under the published settings but for the sizes."""
    arrays = build("mask_rcnn_r18_fpn", 1, False).state_dict()
    backbone = {name.removeprefix("backbone."): v for name, v in arrays.items() if name.startswith("backbone.")}
    write_arrays(tmp_path / "served/backbone.pdparams", backbone)
    alone = tmp_path / "alone"
    words = ("--url", f"{address}/bears.tar.gz", "--weights", f"{address}/backbone.pdparams", *SMALL)
    done = run(alone, "mask_rcnn_r18_fpn", *words)
    assert done.returncode == 0, done.stderr
    assert re.search(r"box mAP \d\.\d+, mask mAP \d\.\d+", done.stdout)
    assert "frozen: stem, res2" in done.stderr
    out = alone / "output/mask_rcnn_r18_fpn"
    assert "report: output/mask_rcnn_r18_fpn/report.html" in done.stderr
    page = (out / "report.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "mask_rcnn_r18_fpn" in page
    settings = read_config(out).settings
    assert (settings.batch, settings.lr, settings.warmup_steps, settings.decay_epochs) == (1, 0.00125, 3, (8.0, 11.0))
    name = "conv1.conv1.conv.weight"
    assert np.array_equal(read_arrays(out / "model.pdparams")[f"backbone.{name}"], np.array(backbone[name]))

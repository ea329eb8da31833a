"""The tutorials, with a tiny dataset from a server on 127.0.0.1 in place of the real one."""

from __future__ import annotations

import functools
import http.server
import os
import runpy
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_seg import cli
from edge_seg.data.synth import make

ROOT = Path(__file__).parents[2]
MODELS = ("mask_rcnn_r50_fpn", "mask_rcnn_r18_fpn", "mask_rcnn_hrnet_fpn")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where ``bears.tar.gz`` is served, a dataset laid out as the xiaoduxiong one."""
    make(tmp_path / "bears", 4, 64, 1)
    (tmp_path / "bears/images").rename(tmp_path / "bears/JPEGImages")
    (tmp_path / "served").mkdir()
    with tarfile.open(tmp_path / "served/bears.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "bears", "bears")
    (tmp_path / "served/weights.pdparams").write_bytes(b"weights")
    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def run_script(monkeypatch: pytest.MonkeyPatch, model: str, *options: str | Path) -> tuple[int, list[list[str]]]:
    """The script's exit code, and the command lines that it would have run."""
    commands: list[list[str]] = []

    def note(words: list[str]) -> int:
        commands.append(words)
        return 0

    monkeypatch.setattr(cli, "main", note)
    monkeypatch.setattr(sys, "argv", [f"{model}.py", *map(str, options)])
    monkeypatch.syspath_prepend(str(ROOT / "tutorials"))
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / f"tutorials/{model}.py"), run_name="__main__")
    assert isinstance(caught.value.code, int)
    return caught.value.code, commands


@pytest.mark.parametrize("model", MODELS)
def test_each_trains_its_model_with_the_published_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str, model: str
) -> None:
    data, weights = tmp_path / "data", f"{address}/weights.pdparams"
    code, (words,) = run_script(
        monkeypatch, model, "--data-dir", data, "--url", f"{address}/bears.tar.gz", "--weights", weights
    )
    assert code == 0
    assert words[:2] == ["train", model]
    line = " ".join(words)
    for option in (
        f"--data {data}/bears/bears",
        "--batch 1 --lr 0.00125 --warmup-steps 10 --decay-epochs 8,11 --epochs 12",
        "--short-side 800 --long-side 1333 --device cpu",
        f"--weights {data}/weights.pdparams --frozen-norm",
    ):
        assert option in line


def test_what_is_there_is_used_and_weights_that_cannot_be_had_are_done_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, (words,) = run_script(
        monkeypatch, MODELS[0], "--data-dir", tmp_path / "bears", "--weights", f"{address}/none.pdparams"
    )
    assert code == 0
    assert str(tmp_path / "bears") in words
    assert "--weights" not in words
    assert "404" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--url", "{address}/none.tar.gz"], ["--url", "{address}/weights.pdparams"]])
def test_a_dataset_that_cannot_be_had_is_one_message(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    address: str,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
) -> None:
    words = [option.format(address=address) for option in options]
    code, commands = run_script(monkeypatch, MODELS[1], "--data-dir", tmp_path / "data", *words)
    assert code == 1
    assert commands == []
    assert "Error: " in capsys.readouterr().err


@pytest.mark.slow
def test_training_for_real(tmp_path: Path, address: str) -> None:
    script = [sys.executable, str(ROOT / "tutorials/mask_rcnn_r18_fpn.py"), "--url", f"{address}/bears.tar.gz"]
    done = subprocess.run(
        [*script, "--epochs", "1", "--short-side", "64", "--long-side", "64"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "mask mAP" in done.stdout
    assert (tmp_path / "output/mask_rcnn_r18_fpn/model.pdparams").is_file()

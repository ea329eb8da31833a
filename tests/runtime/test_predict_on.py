"""edge-seg predict --on: the same images and results as here, done behind a real sshd."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_seg import cli
from edge_seg.data import synth
from tests.boards.conftest import make_runner, make_x86
from tests.targets.sshd import Sshd, board, sshd

__all__ = ["board", "sshd"]

Predict = Callable[..., tuple[int, dict[str, Any], str]]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def predict(capsys: pytest.CaptureFixture[str]) -> Predict:
    def call(*words: str | Path) -> tuple[int, dict[str, Any], str]:
        capsys.readouterr()
        code = cli.main(["predict", *map(str, words), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out), err

    return call


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Images of three kinds, with names of all kinds, and two that are none."""
    folder = tmp_path / "a 'folder'"
    folder.mkdir()
    for index, name in enumerate(["a photo.jpg", 'grün\n"2".png', "$HOME.bmp"]):
        cv2.imwrite(str(folder / name), synth.draw(3, 128, index)[0])
    (folder / "broken.jpg").write_bytes((folder / "a photo.jpg").read_bytes()[:300])
    (folder / "text.png").write_text("text")
    return folder


def same(here: Path, there: Path) -> None:
    assert (here / "predictions.json").read_bytes() == (there / "predictions.json").read_bytes()
    names = sorted(file.name for file in here.iterdir())
    assert names == sorted(file.name for file in there.iterdir())
    for name in names:
        assert (here / name).read_bytes() == (there / name).read_bytes()


def test_as_here(predict: Predict, tiny_bundles: Path, images: Path, board: Sshd, tmp_path: Path) -> None:
    pytest.importorskip("paddlelite", reason="needs the extra 'lite'")
    bundle = tiny_bundles / "x86-fp32"
    here, there = tmp_path / "here", tmp_path / "there"
    code, expected, _ = predict(bundle, images, "--out", here, "--score", "0.01")
    runner = shlex.join(["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "edge_seg.runtime.runner"])
    on = ["--on", board.name, "--runner", runner]
    again, said, err = predict(bundle, images, "--out", there, "--score", "0.01", *on)
    assert (code, again) == (1, 1), "two images can't be read"
    assert [item["file_name"] for item in said["failed"]] == [item["file_name"] for item in expected["failed"]]
    assert [item["instances"] for item in said["images"]] == [item["instances"] for item in expected["images"]]
    assert any(item["instances"] for item in said["images"])
    assert "copying the bundle" in err
    same(here, there)
    assert list((board.home / "edge-seg").iterdir()) == [], "nothing is left on the board"


def test_an_image_that_only_the_board_refuses(predict: Predict, images: Path, board: Sshd, tmp_path: Path) -> None:
    """Its runner ends there; the others are done all the same."""
    runner = make_runner(tmp_path / "runner", "--engine null")
    words = runner.read_text().splitlines()
    damage = 'for f in "$@"; do case $f in *.jpg) : > "$f" ;; esac; done'
    runner.write_text("\n".join([words[0], damage, *words[1:]]) + "\n")
    runner.chmod(0o755)
    bundle = make_x86(tmp_path / "bundle")
    out = tmp_path / "out"
    for name in ("broken.jpg", "text.png"):
        (images / name).unlink()
    code, said, _ = predict(bundle, images, "--out", out, "--on", board.name, "--runner", str(runner))
    assert code == 1
    assert len(said["images"]) == 2
    (failed,) = said["failed"]
    assert str(images) in failed["message"], "it is named as it is called here"


def test_the_board_has_no_runner(predict: Predict, images: Path, board: Sshd, tmp_path: Path) -> None:
    bundle = make_x86(tmp_path / "bundle")
    code, said, _ = predict(bundle, images, "--out", tmp_path / "out", "--on", board.name)
    assert (code, said["error"]["code"]) == (1, "runner-missing")
    assert not (tmp_path / "out" / "predictions.json").exists()


def test_command_lines_that_can_not_be_meant(predict: Predict, images: Path, tmp_path: Path) -> None:
    bundle = make_x86(tmp_path / "bundle")
    for words in (["--runner", "x"], ["--on", "nowhere"]):
        code, said, _ = predict(bundle, images, "--out", tmp_path / "out", *words)
        assert (code, said["error"]["code"]) in ((2, "usage"), (2, "unknown-target"))


def test_more_images_than_one_batch(
    predict: Predict, board: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_seg.runtime.predict_remote.BATCH", 2)
    runner = make_runner(tmp_path / "runner", "--engine null")
    runner.chmod(0o755)
    (tmp_path / "images").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), np.full((30, 40 + number, 3), 80, np.uint8))
    bundle = make_x86(tmp_path / "bundle")
    code, said, _ = predict(
        bundle, tmp_path / "images", "--out", tmp_path / "out", "--on", board.name, "--runner", str(runner)
    )
    assert code == 0
    assert [item["file_name"] for item in said["images"]] == ["0.png", "1.png", "2.png"]

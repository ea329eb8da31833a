"""``edge-seg convert FILE --raw``: any Paddle model to a plain ``.nb``, tried first."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from convert import raw
from convert.artifacts import ExportedGraph
from convert.recipe import find_recipe, parse
from edge_seg.errors import ConversionError, UsageError
from tests.conftest import Finished

pytest.importorskip("paddlelite", reason="needs the extra 'lite'")
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("recipe", ["arm-fp32", "x86-fp32"])
def test_the_same_bytes_twice(small: ExportedGraph, tmp_path: Path, recipe: str) -> None:
    made = [raw.convert_raw(small.program, find_recipe(recipe), tmp_path / f"{n}.nb", {}) for n in range(2)]
    assert made[0].report.verdict == "fine", str(made[0].report)
    assert "paddle's values" in str(made[0])
    assert made[0].out.read_bytes() == made[1].out.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.nb", "1.nb"]


def test_the_old_names_of_files(edge_seg: Callable[..., Finished], small: ExportedGraph, tmp_path: Path) -> None:
    """``__model__`` and ``__params__``, as paddle 1 wrote them."""
    folder = tmp_path / "old"
    folder.mkdir()
    shutil.copy(small.program, folder / "__model__")
    shutil.copy(small.weights, folder / "__params__")
    done = edge_seg("convert", folder, "--raw", "--out", tmp_path / "model.nb", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["proven"], told["recipe"]) == (True, "arm-fp32")
    assert told["bytes"] == (tmp_path / "model.nb").stat().st_size


def test_what_cannot_be_converted_gets_the_doctors_remedy(unsupported: ExportedGraph, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="no kernel for lgamma") as caught:
        raw.convert_raw(unsupported.program, find_recipe("arm-fp32"), tmp_path / "model.nb", {})
    assert caught.value.remedy
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_no_mask_rcnn_is_sent_here(
    edge_seg: Callable[..., Finished], small: ExportedGraph, tmp_path: Path
) -> None:
    folder = tmp_path / "detector"
    folder.mkdir()
    shutil.copy(small.program, folder / "model.pdmodel")
    shutil.copy(small.weights, folder / "model.pdiparams")
    (folder / "infer_cfg.yml").write_text("arch: YOLO\nlabel_list: [a]\nPreprocess: [{type: Permute}]\n")
    done = edge_seg("convert", folder, "--recipe", "arm-fp32", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "--raw" in done.stderr
    assert edge_seg("convert", folder, "--raw", "--out", tmp_path / "model.nb").returncode == 0
    told = edge_seg("doctor", folder)
    assert told.returncode == 0, told.stdout
    assert "--raw" in told.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "model.bin"], "must end with .nb"),
        (["--out", "model.nb", "--recipe", "cpu-fp32"], "--raw makes a .nb"),
        (["--out", "model.nb", "--recipe", "arm-fp32,x86-fp32"], "one recipe"),
        (["--out", "model.nb", "--size", "320"], "--size isn't for --raw"),
        (["--out", "model.nb", "--shape", "image=3"], "--shape image=3: the model's is"),
        (["--out", "model.nb", "--shape", "image=0x3x9x9"], "not a shape"),
        (["--out", os.fsdecode(b"n\xff.nb")], "isn't UTF-8"),
    ],
)
def test_wrong_usage(
    edge_seg: Callable[..., Finished], small: ExportedGraph, tmp_path: Path, words: list[str], said: str
) -> None:
    done = edge_seg("convert", small.program, "--raw", *words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


def test_recipes_of_other_precisions_are_refused() -> None:
    with pytest.raises(UsageError, match="onnx"):
        raw.check(parse("onnx-fp32"), Path("model.nb"))

"""Paddle Lite's optimiser, for real, on good and broken input."""

from __future__ import annotations

from pathlib import Path

import pytest

from convert.artifacts import ExportedGraph
from convert.backends import opt
from edge_seg.errors import ConversionError


def optimise(graph: ExportedGraph, nb: Path, *, program: Path | None = None, weights: Path | None = None) -> None:
    opt.optimise(program or graph.program, weights or graph.weights, "x86", nb, inputs=("image",), outputs=2)


@pytest.mark.parametrize("places", ["x86", "arm"])
def test_the_same_graph_gives_the_same_bytes(small: ExportedGraph, tmp_path: Path, places: str) -> None:
    made = []
    for name in ("first.nb", "second.nb"):
        opt.optimise(small.program, small.weights, places, tmp_path / name, inputs=("image",), outputs=2)
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]
    assert made[0][2:18] == b"v2.13-rc".ljust(16, b"\0")


def test_version() -> None:
    assert opt.version() == "v2.13-rc"


def test_an_operator_without_a_kernel_is_named(unsupported: ExportedGraph, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="lgamma") as raised:
        optimise(unsupported, tmp_path / "out.nb")
    assert raised.value.code == "unsupported-operator"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, b"", b"not a model", 0.5])
@pytest.mark.parametrize("file", ["program", "weights"])
def test_a_damaged_file_is_an_error(
    small: ExportedGraph, tmp_path: Path, file: str, content: bytes | float | None
) -> None:
    damaged = tmp_path / getattr(small, file).name
    if isinstance(content, float):
        whole = getattr(small, file).read_bytes()
        damaged.write_bytes(whole[: int(len(whole) * content)])
    elif content is not None:
        damaged.write_bytes(content)
    with pytest.raises(ConversionError, match=r"small\.pdmodel"):
        optimise(small, tmp_path / "out.nb", **{file: damaged})
    assert not (tmp_path / "out.nb").exists()


def test_the_file_that_opt_stumbles_over_is_named(small: ExportedGraph, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"missing\.pdiparams"):
        optimise(small, tmp_path / "out.nb", weights=tmp_path / "missing.pdiparams")


def test_a_folder_that_cannot_be_written_to_is_an_error(small: ExportedGraph, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="no-such-folder"):
        optimise(small, tmp_path / "no-such-folder" / "out.nb")


def test_an_unknown_place_is_an_error(small: ExportedGraph, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="abacus"):
        opt.optimise(small.program, small.weights, "abacus", tmp_path / "out.nb", inputs=("image",), outputs=2)


def test_what_was_written_is_read_back(small: ExportedGraph, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="2 outputs; expected .* 3 outputs"):
        opt.optimise(small.program, small.weights, "x86", tmp_path / "out.nb", inputs=("image",), outputs=3)
    assert not (tmp_path / "out.nb").exists()

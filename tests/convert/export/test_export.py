"""Graphs in Paddle's inference format: reproducible, and honest about what can't be traced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from convert.artifacts import ExportedGraph
from convert.export.export import export_graph
from convert.export.graphs import MaskHeadGraph
from convert.program.edit import ProgramEdit, only
from edge_seg.errors import ConversionError
from edge_seg.models.build import build_model
from edge_seg.paddle_env import nn, paddle
from tests.convert.export.small import SmallGraph


def test_the_same_graph_gives_the_same_bytes_and_no_paths(small: ExportedGraph, tmp_path: Path) -> None:
    paddle.seed(1)
    again = export_graph(SmallGraph(nn.functional.relu), tmp_path)
    assert again.program.read_bytes() == small.program.read_bytes()
    assert again.weights.read_bytes() == small.weights.read_bytes()
    assert b".py" not in small.program.read_bytes()


def test_a_layer_that_paddle_cannot_trace_is_an_error(tmp_path: Path) -> None:
    def stumble(value: Any) -> Any:
        return value.reshape([7, -1])

    with pytest.raises(ConversionError, match="can't export the small graph: .*ReshapeOp"):
        export_graph(SmallGraph(stumble), tmp_path)


def test_weights_are_named_after_their_place(small: ExportedGraph) -> None:
    program = small.program.read_bytes()
    assert all(name in program for name in (b"conv.weight", b"fc.bias", b"shift"))


def test_paddle_cannot_fuse_the_biases_into_the_product_for_each_masks_class(tmp_path: Path) -> None:
    # Fused, it takes oneDNN as long as all the other layers of the mask head together (#18).
    graph = MaskHeadGraph(build_model("mask_rcnn_tiny_fpn", 3))
    operators = ProgramEdit.read(export_graph(graph, tmp_path).program).block.ops
    (product,) = (only(op.outputs, "Out") for op in operators if op.type == "matmul_v2")
    assert [op.type for op in operators if only(op.inputs, "X") == product] == ["reshape2"]

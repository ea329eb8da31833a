"""A graph that is exported and optimised in a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convert.export.graphs import Graph, traced
from edge_seg.manifest import TensorSpec
from edge_seg.paddle_env import nn, paddle


class SmallGraph(Graph):
    """A convolution and a fully connected layer, and an ``operator`` between them. Two outputs."""

    def __init__(self, operator: Callable[[Any], Any]) -> None:
        super().__init__()
        self.name = "small"
        self.operator = operator
        self.model = nn.Layer()
        self.model.conv = nn.Conv2D(3, 4, 3, padding=1)
        self.model.fc = nn.Linear(4, 2)
        self.model.register_buffer("shift", paddle.full([4], 0.5))
        self.inputs = (TensorSpec("image", (1, 3, 32, 32), "float32"),)
        self.outputs = (TensorSpec("scores", (1, 2), "float32"), TensorSpec("map", (1, 4, 32, 32), "float32"))

    @traced
    def forward(self, image: Any) -> tuple[Any, Any]:
        features = self.operator(self.model.conv(image))
        pooled = nn.functional.adaptive_avg_pool2d(features, 1).reshape([-1, 4]) + self.model.shift
        return self.model.fc(pooled), features

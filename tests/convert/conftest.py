"""Graphs and jobs small enough to be converted in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from convert.artifacts import ExportedGraph, Job
from convert.export.export import export_graph
from convert.job import Options, random_job
from edge_seg.paddle_env import nn, paddle
from tests.convert.export.small import SmallGraph


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> ExportedGraph:
    """A graph of operators that Paddle Lite has."""
    paddle.seed(1)
    return export_graph(SmallGraph(nn.functional.relu), tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def unsupported(tmp_path_factory: pytest.TempPathFactory) -> ExportedGraph:
    """A graph with ``lgamma``, which Paddle Lite has no kernel for."""
    paddle.seed(1)
    return export_graph(SmallGraph(paddle.lgamma), tmp_path_factory.mktemp("unsupported"))


@pytest.fixture(scope="session")
def job() -> Job:
    """The job that ``tiny_bundles`` were made from."""
    return random_job("mask_rcnn_tiny_fpn", 1, 3, Options(size=(128, 128)))


@pytest.fixture
def left_behind(tmp_path: Path) -> Callable[[], list[str]]:
    """Names of everything in ``tmp_path``, however deep."""
    return lambda: sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))

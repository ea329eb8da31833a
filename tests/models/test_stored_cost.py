"""The stored cost of the zoo's models is what their layers cost, and `edge-seg zoo` answers from it at once."""

from __future__ import annotations

import resource
from collections.abc import Callable

import pytest

from edge_seg.models.build import build_model
from edge_seg.models.cost import measure
from edge_seg.models.stored_cost import stored_cost
from edge_seg.words import counted
from edge_seg.zoo import ZOO
from tests.conftest import Finished


@pytest.mark.parametrize("name", ZOO)
def test_the_stored_cost_is_that_of_the_layers(name: str) -> None:
    size, classes = (96, 160), 7
    measured = measure(build_model(name, classes), size)
    assert stored_cost(name, size, classes) == measured, "run tools/zoo_costs.py"


def test_the_zoo_answers_within_a_second(edge_seg: Callable[..., Finished]) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = edge_seg("zoo", "--objects", "1", "--classes", "1")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "1 detection. Parameters: 1 class and background." in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


def test_counted() -> None:
    assert [counted(n, "image") for n in (0, 1, 2, 1312)] == ["0 images", "1 image", "2 images", "1,312 images"]
    assert [counted(n, "class") for n in (1, 2)] == ["1 class", "2 classes"]
    assert [counted(n, "box") for n in (1, 2.5)] == ["1 box", "2.5 boxes"]
    assert counted(2, "person", "people") == "2 people"

"""The stage machinery, and the stages that are declared."""

from __future__ import annotations

from pathlib import Path

import pytest

from convert import pipeline, stages
from convert.stages import Stage

COUNT = Stage("count", "words to a number", str, int, len)
HALVE = Stage("halve", "a number to its half", int, float, lambda number: number / 2)


def ignore(name: str, seconds: float) -> None:
    pass


def test_artifacts_go_from_one_stage_to_the_next() -> None:
    told: list[str] = []
    assert stages.run((COUNT, HALVE), "seven", lambda name, seconds: told.append(name)) == 2.5
    assert told == ["count", "halve"]


def test_a_wrong_order_is_found_before_any_work() -> None:
    def refuse(number: int) -> float:
        raise AssertionError("the first stage ran")

    with pytest.raises(ValueError, match="'count' takes str, but 'halve' gives float"):
        stages.run((Stage("halve", "", int, float, refuse), COUNT), 7, ignore)


def test_names_are_different() -> None:
    with pytest.raises(ValueError, match="twice"):
        stages.check((COUNT, Stage("count", "", int, float, float)))


def test_the_artifact_fits_the_first_stage() -> None:
    with pytest.raises(TypeError, match="'count' takes str, not int"):
        stages.run((COUNT,), 7, ignore)


def test_the_stages_of_a_conversion_fit_together() -> None:
    declared = (
        pipeline.REFERENCE,
        pipeline.export_stage(("detect", "mask"), Path()),
        pipeline.quantize_stage("int8", Path()),
    )
    stages.check(declared)
    stages.check((pipeline.COMPILE, pipeline.ASSEMBLE, pipeline.CHECK))
    assert all(stage.why for stage in (*declared, pipeline.COMPILE, pipeline.ASSEMBLE, pipeline.CHECK))

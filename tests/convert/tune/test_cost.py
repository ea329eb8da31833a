"""Cost that isn't measured here: what records say, what a prediction makes of them, what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convert.tune.cost import Shape, calibrate
from convert.tune.device import Observation, RecordsError, read_device
from convert.tune.meter import _shape_of

RECORDS = Path(__file__).parents[3] / "docs" / "records.jsonl"


def observation(shape: Shape, detect_ms: float, mask_ms: float, model: str = "m") -> Observation:
    return Observation(
        "r", model, "arm-fp32", 3, None, (32, 32), shape.proposals, shape.objects, detect_ms, 0.5, mask_ms
    )


def shapes() -> list[Shape]:
    trunks, proposals, objects = (2e9, 4e9, 8e9, 8e9), (50, 200, 50, 400), (1.0, 5.0, 20.0, 10.0)
    rows = zip(trunks, proposals, objects, strict=True)
    return [Shape(int(trunk), 14_000_000, 530_000_000, 256, p, n) for trunk, p, n in rows]


def device(observations: list[Observation]) -> Any:
    from convert.tune.device import Device

    return Device("a board", 1, tuple(observations), ())


def test_planted_scales_are_found_again() -> None:
    trunk, box, mask = 3e-7, 9e-7, 5e-7
    made = shapes()
    seen = [observation(s, trunk * s.trunk + box * s.box, mask * s.mask) for s in made]
    scales = calibrate(device(seen), "arm-fp32", "m", lambda o: made[seen.index(o)])
    assert scales.mask == pytest.approx(mask)
    assert scales.error < 0.02
    other = Shape(5_000_000_000, 7_000_000, 530_000_000, 256, 100, 3.0)
    wanted = trunk * other.trunk + box * other.box + mask * other.mask + 0.5
    assert scales.ms(other) == pytest.approx(wanted, rel=0.03)


def test_one_record_is_met_exactly() -> None:
    shape = shapes()[1]
    scales = calibrate(device([observation(shape, 80.0, 20.0)]), "arm-fp32", "m", lambda _: shape)
    assert scales.ms(shape) == pytest.approx(100.5)
    assert scales.error == pytest.approx(0, abs=1e-9)
    assert scales.trunk == pytest.approx(scales.box)


def test_more_of_anything_costs_more() -> None:
    shape = shapes()[1]
    scales = calibrate(device([observation(shape, 80.0, 20.0)]), "arm-fp32", "m", lambda _: shape)
    for name, more in (("trunk_mac", 2), ("box_mac", 2), ("proposals", 2), ("objects", 2), ("channels", 2)):
        changed = Shape(**{**shape.__dict__, name: getattr(shape, name) * more})
        assert scales.ms(changed) > scales.ms(shape)


def test_the_counted_model_costs_what_was_counted() -> None:
    """2,888 M instructions: `detect` 2,073 M with 100 proposals, `mask` 815 M with 10 objects."""
    shape = Shape(13_998_000_000, 14_300_000, 529_900_000, 256, 100, 10.0)
    assert (shape.trunk + shape.box) / 1e6 == pytest.approx(2073, rel=0.001)
    assert shape.mask / 1e6 == pytest.approx(815, rel=0.001)


def test_records_of_another_recipe_or_model() -> None:
    seen = device([observation(shapes()[0], 10.0, 3.0, model="other")])
    with pytest.raises(RecordsError, match="no record of arm-int8"):
        calibrate(seen, "arm-int8", "m", lambda _: shapes()[0])
    scales = calibrate(seen, "arm-fp32", "m", lambda _: shapes()[0])
    assert scales.warnings == ("arm-fp32: no record of m; predicted from other",)


def test_real_records_are_read_and_met() -> None:
    """Three models that were measured on one machine: each is predicted from itself, and roughly from the others."""
    found = read_device([RECORDS], None)
    assert found.threads >= 1
    assert {o.model for o in found.observations} == {f"mask_rcnn_{name}_fpn" for name in ("r50", "r18", "hrnet")}
    own = calibrate(found, "cpu-fp32", "mask_rcnn_r18_fpn", _shape_of)
    assert own.error < 0.001
    assert len(own.records) == 1
    (seen,) = (o for o in found.observations if o.model == "mask_rcnn_r18_fpn")
    assert own.ms(_shape_of(seen)) == pytest.approx(seen.detect_ms + seen.nms_ms + seen.mask_ms, rel=0.001)


def edited(change: Callable[[dict[str, Any]], object], *, sign: bool = True) -> bytes:
    record = json.loads(RECORDS.read_bytes().splitlines()[0])
    change(record)
    if sign:
        record.pop("id", None)
        text = json.dumps(record, sort_keys=True, separators=(",", ":"))
        record["id"] = hashlib.sha256(text.encode()).hexdigest()[:12]
    return json.dumps(record).encode() + b"\n"


@pytest.mark.parametrize(
    ("content", "threads", "words"),
    [
        (b"", None, "no records"),
        (b"not json\n", None, "line 1: not a record"),
        (b"[1]\n", None, "schema None"),
        (edited(lambda r: r.update(schema=99)), None, "schema 99"),
        (edited(lambda r: r["scenario"].update(threads=7), sign=False), None, "was altered"),
        (edited(lambda r: r["verdict"].update(status="emulated")), None, "only emulated"),
        (edited(lambda r: r.update(samples=[])), None, "not a record"),
        (edited(lambda r: r["bundle"].pop("size")), None, "not a record"),
        (edited(lambda r: [s.update(instances=0) for s in r["samples"]]), None, "nothing|anything was found"),
        (
            edited(lambda r: r["scenario"].update(threads=2)) + edited(lambda r: r["scenario"].update(threads=4)),
            None,
            "2, 4",
        ),
        (edited(lambda r: r["scenario"].update(threads=2)), 3, "choose one of these with --threads"),
        (edited(lambda r: r["bundle"].update(model="mask_rcnn")), None, "is of a mask_rcnn from elsewhere"),
        (edited(lambda r: r["machine"].update(board="Pi")) + edited(lambda r: None), None, "2 devices"),
    ],
)
def test_records_that_say_nothing_are_refused(content: bytes, threads: int | None, words: str, tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    file.write_bytes(content)
    with pytest.raises(RecordsError) as problem:
        read_device([file], threads)
    import re

    assert re.search(words, str(problem.value))
    assert "records.jsonl" in str(problem.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match=r"nowhere\.jsonl: can't be read"):
        read_device([tmp_path / "nowhere.jsonl"], None)

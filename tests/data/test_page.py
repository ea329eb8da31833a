"""The page of ``data check``, looked at in a browser: a good set, one with faults, one without an object."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_seg.data import synth
from edge_seg.data.check import check
from edge_seg.data.page import make_page
from tests.data.conftest import Coco, annotation
from tests.pages.browser import Browser

Write = Callable[..., Path]


@pytest.mark.slow
def test_a_good_set(browser: Browser, tmp_path: Path) -> None:
    synth.make(tmp_path / "shapes", images=40, size=128, seed=3, val_fraction=0.25)
    report = check(tmp_path / "shapes", size=(128, 128))
    make_page(report, "edge-seg data check shapes --html page.html").write(tmp_path / "page.html")

    seen = browser.look(tmp_path / "page.html", tmp_path / "screenshots")[0]

    assert "Ready to be trained on" in seen.answer
    assert list(seen.sections) == ["what-was-found", "split-train", "split-val"]
    assert "24 of 30 images shown" in seen.sections["split-train"]
    assert "10 of 10 images shown" in seen.sections["split-val"]
    for name, count in report.splits["train"].instances_per_class.items():
        assert f"{name}\t{count}" in seen.sections["split-train"]


def test_every_fault_is_there_with_its_image(write: Write, coco: Coco, browser: Browser, tmp_path: Path) -> None:
    coco["annotations"] = [
        annotation(1),
        annotation(2, segmentation=[]),
        annotation(3, bbox=[0, 0, 0, 0]),
        annotation(4, category_id=99),
        annotation(5, iscrowd=1, segmentation={"size": [60, 80], "counts": [700, 10, 4090]}),
    ]
    coco["categories"][0]["name"] = "cat <script>alert(1)</script> 猫"
    report = check(write(coco))
    make_page(report).write(tmp_path / "page.html")

    seen = browser.look(tmp_path / "page.html", tmp_path / "screenshots")[0]

    assert not report.ok
    assert "Not ready" in seen.answer
    found = seen.sections["what-was-found"]
    for group in report.findings.groups():
        assert str(len(group.findings)) in found
        for finding in group.findings:
            assert finding.text in found
    assert "images with this finding shown" in found
    assert "cat <script>alert(1)</script> 猫" in seen.sections["split-train"]


def test_a_set_without_objects(write: Write, coco: Coco, browser: Browser, tmp_path: Path) -> None:
    coco["annotations"] = []
    make_page(check(write(coco))).write(tmp_path / "page.html")

    seen = browser.look(tmp_path / "page.html", tmp_path / "screenshots")[0]

    assert "Not ready: nothing to train on" in seen.answer
    assert "There is no object." in seen.sections["split-train"]


def test_the_command_writes_the_page_and_the_same_numbers(
    write: Write, coco: Coco, edge_seg: Callable[..., Any], tmp_path: Path
) -> None:
    folder = write(coco)
    done = edge_seg("data", "check", folder, "--html", "page.html", "--json")

    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    page = (tmp_path / "page.html").read_text()
    assert f">{value['splits']['train']['instances']}<" in page.replace(" ", "").replace("\n", "")
    refused = edge_seg("data", "check", folder, "--html", folder / "train.json")
    assert refused.returncode == 2
    assert json.loads((folder / "train.json").read_text()) == coco

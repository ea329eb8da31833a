"""The page of ``verify``, looked at in a browser: with a fault, without, and where nothing could be run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_seg.bundle import open_bundle
from edge_seg.pages.verify import make_page
from edge_seg.verification import TITLES, Compared, Difference, Report, Shown, StageResult
from tests.bundles.made import make_bundle
from tests.pages.browser import Browser

PIXELS = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
FILES = Difference("files", note="5 files, hashes as in the manifest")
IMAGE = Difference("image", 0.757, 0.222, "of 255 levels", 1.0, image=1)
EXPORTED = Difference("p2", 0.0, 0.0, "of its range", 0.001), Difference("boxes", 1e-5, 1e-6, "px", 0.01)
SOUND = (
    StageResult("files", (FILES,)),
    StageResult("preprocessing", (IMAGE,), "the rule in float64"),
    StageResult("exported", EXPORTED, "paddle", seconds=9.2),
)
FAULTY = StageResult(
    "host",
    (
        Difference("p2", float("nan"), None, "of its range", 0.001, ok=False, image=0),
        Difference("scores", 0.3, 0.1, "", None, note="not judged"),
        Difference("second run", ok=False, note="gave <another> result than the first"),
    ),
    "exported",
    shown=Shown("the golden image, p2: brightest where it differs most", PIXELS),
)
DEVICE = StageResult("device", skipped="no board is named (--on), and no runner (--runner)")


@pytest.fixture
def bundle_folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def test_a_fault_is_what_is_seen_first(bundle_folder: Path, browser: Browser, tmp_path: Path) -> None:
    compared = Compared("a <b>.png", (Shown("paddle: 3 detections", PIXELS), Shown("host: 2 detections", PIXELS)))
    report = Report(open_bundle(bundle_folder), (*SOUND, FAULTY, DEVICE), ("golden", "a <b>.png"), (compared,))
    make_page(report, "edge-seg verify bundle --html page.html").write(tmp_path / "page.html")

    seen = browser.look(tmp_path / "page.html", tmp_path / "screenshots")[0]

    assert f"The first stage that differs: {TITLES['host']}" in seen.answer
    assert "p2 in golden" in seen.answer
    assert "not a number" in seen.sections["host"]
    assert "gave <another> result" in seen.sections["host"]
    assert "0.15" not in seen.sections["exported"]
    assert "0.10 %" in seen.sections["exported"]  # 1e-5 of 0.01
    assert "76 %" in seen.sections["stages"]
    assert "no board is named" in seen.sections["stages"]
    assert "1 of 2 images shown" in seen.sections["images-by-the-first-and-the-last-stage"]


def test_a_sound_bundle(bundle_folder: Path, browser: Browser, tmp_path: Path) -> None:
    make_page(Report(open_bundle(bundle_folder), (*SOUND, DEVICE), ("golden", "a.png"))).write(tmp_path / "page.html")

    seen = browser.look(tmp_path / "page.html", tmp_path / "screenshots")[0]

    assert "Every stage that was run is within its tolerance" in seen.answer
    assert f"Not run: {TITLES['device']}" in seen.answer


def test_a_bundle_that_is_not_whole(bundle_folder: Path, browser: Browser, tmp_path: Path) -> None:
    files = StageResult("files", (Difference("trunk.nb", ok=False, note="missing"),))
    rest = [StageResult(name, skipped="the bundle isn't whole") for name in TITLES if name != "files"]
    make_page(Report(open_bundle(bundle_folder), (files, *rest), ())).write(tmp_path / "page.html")

    seen = browser.look(tmp_path / "page.html", tmp_path / "screenshots")[0]

    assert "files and their hashes" in seen.answer
    assert "No difference was measured." in seen.sections["stages"]

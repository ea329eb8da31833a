"""The check: a bundle, run by its engine on the golden image, against paddle running the layers themselves.

A bundle for another kind of machine is checked through its host check: a bundle of the same graphs, made by the same
tools, for an engine that the host has.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.artifacts import Assembled, Checked, Draft, Referenced
from convert.check import run_bundle
from convert.check.tolerance import FP32, SELF_TEST, SELF_TEST_RUNS, tolerance_for
from convert.recipe import find_recipe
from edge_seg.bundle import write_manifest
from edge_seg.errors import ConversionError
from edge_seg.files import scratch_dir
from edge_seg.manifest import FEATURES, Manifest
from edge_seg.process.child import failure, run_module
from edge_seg.runtime.parity import Parity, Tolerance, compare
from edge_seg.words import counted

LIMIT_S = 600.0


def check(assembled: Assembled) -> Checked:
    """Completes the manifest with what was measured, and writes it.

    Raises :class:`ConversionError` when a difference is out of tolerance.
    """
    draft, manifest = assembled.draft, assembled.manifest
    done = draft.host_check
    report = done.report if done else examine(draft.folder, manifest, draft.exported.referenced)
    report = {**report, **_precision_notes(draft, report)}
    write_manifest(draft.folder, dataclasses.replace(manifest, verification=report))
    return Checked(draft.recipe, draft.folder, report)


def _precision_notes(draft: Draft, report: dict[str, Any]) -> dict[str, Any]:
    """What a program or a reader has to know of a bundle beyond what its host check measured."""
    recipe = draft.recipe
    notes: dict[str, Any] = {}
    if recipe.precision == "fp16":
        from convert.check import fp16

        notes["fp16"] = fp16.check(draft.exported)
    if recipe.precision in SELF_TEST:
        notes["self_test"] = SELF_TEST[recipe.precision] if report["judged"] == "instances" else SELF_TEST_RUNS
    if recipe.precision != find_recipe(recipe.host_check).precision:
        notes["unchecked"] = (
            f"{recipe.precision} can't be computed on the host that converted: its graphs were checked in "
            f"{find_recipe(recipe.host_check).precision} by {recipe.host_check}, its arithmetic was not"
        )
    return notes


def examine(folder: Path, manifest: Manifest, referenced: Referenced) -> dict[str, Any]:
    """Runs the bundle in ``folder`` in a child process and returns the report, or raises :class:`ConversionError`.

    The report's numbers are those of the instances that were judged, and ``unsure`` says how many weren't. Where
    ``judged`` is "features", the numbers of all instances are told, and none was judged.
    """
    with scratch_dir(folder) as scratch:
        write_manifest(scratch, manifest)
        outcome = run_module("convert.check.run_bundle", folder, scratch, limit_s=LIMIT_S)
        if not outcome.ok:
            what = "running the converted model on the golden image failed: the engine's process"
            raise failure(outcome, what, prefix="the converted model can't be run: ")
        detect, found, repeats = run_bundle.read(scratch)
    maps = [name for name in FEATURES if name in referenced.detect]  # a model from elsewhere shows none
    features = {name: _relative(referenced.detect[name], detect[name]) for name in maps}
    limit = tolerance_for(manifest.precision)
    parity = held = compare(referenced.instances, found, least_score=limit.least_score)
    by_features = _by_features(referenced, parity, limit)
    unsure = len(referenced.instances) - (0 if by_features else parity.expected)
    if by_features:
        parity, held = compare(referenced.instances, found), _anything(referenced, len(found))
    faults = _faults(held, features, repeats, limit, _pixel_scale(referenced))
    if faults:
        raise ConversionError(
            f"{manifest.name}: on the golden image, {manifest.engine} differs from paddle: {'; '.join(faults)}",
            remedy="nothing was written; try another --golden image, and report the command line if it stays",
            code="parity",
        )
    return {
        "checked_by": manifest.recipe,
        "engine": manifest.engine,
        "engine_version": manifest.engine_version,
        "features": {name: _rounded(value) for name, value in features.items()},
        "proposals": _proposals(referenced.detect, detect) if maps else {},
        "judged": "features" if by_features else "instances",
        "unsure": unsure,
        "instances": parity.expected,
        "found": parity.found,
        "matched": parity.matched,
        "box_px": _rounded(parity.box_px),
        "score": _rounded(parity.score),
        "mask_iou": round(parity.mask_iou, 6),
        "mask_pixels": parity.mask_pixels,
        "repeats": repeats,
        "tolerance": dataclasses.asdict(limit),
    }


def said(report: dict[str, Any]) -> str:
    """What a report says of the check, for people."""
    least = report["tolerance"]["least_score"]
    if report["judged"] == "features":
        worst = max(report["features"].values(), default=0.0)
        return (
            f"checked by {report['checked_by']} by its features alone, which differ by at most {worst:g} of their "
            f"range: in the golden image no instance is sure enough to be judged"
        )
    unsure = f"; {report['unsure']} that score less than {least:g} aren't judged" if report["unsure"] else ""
    return (
        f"checked by {report['checked_by']}: {report['matched']} of {counted(report['instances'], 'instance')}, "
        f"worst box {report['box_px']:g} px, score {report['score']:g}, mask IoU {report['mask_iou']:g}{unsure}"
    )


def _by_features(referenced: Referenced, sure: Parity, limit: Tolerance) -> bool:
    """Whether no instance can be judged.

    What a model that has learned nothing, or little, finds hangs on the last digits, which int8 doesn't keep.
    """
    return limit.least_score > 0 and (referenced.job.random_weights or not max(sure.expected, sure.found))


def _anything(referenced: Referenced, found: int) -> Parity:
    """What to hold a bundle to whose instances can't be judged: that it finds anything where it must.

    It must where the best boxes are taken whatever their scores; scores near the threshold may fall below it.
    """
    must = int(referenced.job.random_weights or referenced.best is not None)
    some = min(must, found)
    return Parity(must, some, some, 0.0, 0.0, 1.0, 0)


def _faults(parity: Parity, features: dict[str, float], repeats: bool, limit: Tolerance, pixel: float) -> list[str]:
    # "not <=", so that NaN is a fault
    off = {name: value for name, value in features.items() if not value <= limit.feature}
    faults = [f"{name} differs by {value:.1e} of its range" for name, value in off.items()]
    if parity.share < limit.matched:
        faults.append(
            f"{counted(parity.matched, 'instance')} matched of {parity.expected} expected and {parity.found} found"
        )
    if parity.box_px > limit.box_px * pixel:
        faults.append(f"a box differs by {parity.box_px:.4f} px")
    if parity.score > limit.score:
        faults.append(f"a score differs by {parity.score:.1e}")
    if parity.mask_iou < limit.mask_iou and parity.mask_pixels > limit.mask_pixels:
        faults.append(f"a mask differs in {counted(parity.mask_pixels, 'pixel')}, IoU {parity.mask_iou:.4f}")
    if not repeats:
        faults.append("the second run gave another result than the first")
    return faults


def _pixel_scale(referenced: Referenced) -> float:
    """Image pixels to a pixel of the input, at least 1."""
    height, width = referenced.job.size
    found = referenced.instances
    return max(1.0, found.height / height, found.width / width)


def _relative(expected: NDArray[Any], found: NDArray[Any]) -> float:
    return float(np.abs(expected - found).max() / max(1e-9, float(np.abs(expected).max())))


def _proposals(expected: Any, found: Any) -> dict[str, Any]:
    """Rows of `detect` whose boxes are the same to 0.01 px, in place, and how far these differ at worst."""
    apart = np.abs(expected["boxes"] - found["boxes"]).max(axis=(1, 2))
    same = apart <= FP32.box_px
    scores = np.abs(expected["scores"] - found["scores"])[same]
    return {
        "rows": len(apart),
        "same": int(same.sum()),
        "box_px": _rounded(float(apart[same].max(initial=0.0))),
        "score": _rounded(float(scores.max(initial=0.0))),
    }


def _rounded(value: float) -> float:
    """Two significant digits, rounded up: a manifest shouldn't hang on the last bits."""
    if value == 0.0:
        return 0.0
    digits = 1 - math.floor(math.log10(value))
    return float(math.ceil(value * 10**digits) / 10**digits)

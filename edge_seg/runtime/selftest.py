"""A bundle's golden image against the result that was expected when it was converted."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.bundle import MANIFEST, Bundle
from edge_seg.errors import BundleError
from edge_seg.files import read_json
from edge_seg.manifest import invalid
from edge_seg.plain import from_plain
from edge_seg.runtime.image import read_image
from edge_seg.runtime.parity import Parity, compare
from edge_seg.runtime.result import Instances
from edge_seg.runtime.segmenter import Segmenter


@dataclass(frozen=True)
class Tolerance:
    """How far a device may be from the expected result and still be sound.

    Wider than what a conversion is held to: another processor rounds otherwise, and what is looked for here is a wrong
    library, a wrong file or a wrong channel order, which miss by far more. ``box_px`` is in pixels of the network's
    input; a mask may miss ``mask_iou`` by up to ``mask_pixels`` pixels. Only instances are judged that score
    ``least_score`` on one side; a conversion's check goes by the same ones.
    """

    matched: float = 0.98
    box_px: float = 0.1
    score: float = 1e-3
    mask_iou: float = 0.99
    mask_pixels: int = 4
    least_score: float = 0.0


@dataclass(frozen=True)
class SelfTest:
    """The outcome: what differs, and the ``faults`` that are out of tolerance (none: passed)."""

    parity: Parity
    tolerance: Tolerance
    faults: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "passed": not self.faults,
            **dataclasses.asdict(self.parity),
            "tolerance": dataclasses.asdict(self.tolerance),
            "faults": list(self.faults),
        }


def read_golden(bundle: Bundle) -> tuple[NDArray[np.uint8], Instances]:
    """The golden image, uint8[h, w, 3] BGR, and its expected instances. Raises BundleError or ImageError."""
    golden = bundle.manifest.golden
    image = read_image(bundle.path / golden.image)
    height, width = image.shape[:2]
    file = bundle.path / golden.expected
    try:
        plain = read_json(file, BundleError)
        return image, Instances.from_json(plain["instances"], height, width, len(bundle.manifest.classes))
    except BundleError as problem:
        raise _invalid(problem.message) from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as problem:
        said = f"{problem} is missing" if isinstance(problem, KeyError) else problem
        raise _invalid(f"{file}: not a list of instances: {said}") from None


def tolerance_of(bundle: Bundle) -> Tolerance:
    """How far this bundle may be off."""
    stated = bundle.manifest.verification.get("self_test")
    if stated is None:
        return Tolerance()
    return from_plain(Tolerance, stated, f"{bundle.path / MANIFEST}: manifest.verification.self_test", invalid)


def self_test(segmenter: Segmenter, bundle: Bundle, tolerance: Tolerance | None = None) -> SelfTest:
    """Runs the golden image through the segmenter's engine and compares. Raises BundleError for a bad golden file.

    A bundle of lower precision says in its manifest (``verification.self_test``) how far it may be off.
    """
    tolerance = tolerance or tolerance_of(bundle)
    golden = bundle.manifest.golden
    image, expected = read_golden(bundle)
    tester = Segmenter.over(
        segmenter.engine,
        segmenter.preprocess,
        segmenter.postprocess,
        classes=segmenter.classes,
        instances=golden.instances,
        full=segmenter.full,
    )
    parity = compare(expected, tester(image), least_score=tolerance.least_score)
    height, width = image.shape[:2]
    # Where the image is the larger one, an input pixel is several of its pixels.
    scale = max(1.0, height / segmenter.preprocess.size[0], width / segmenter.preprocess.size[1])
    return SelfTest(parity, tolerance, tuple(_faults(parity, tolerance, scale)))


def _invalid(message: str) -> BundleError:
    return BundleError(message, remedy="copy the bundle again or convert anew", code="golden-invalid")


def _faults(parity: Parity, limit: Tolerance, scale: float) -> list[str]:
    """In the very words of the C++ runner."""
    faults = []
    if parity.share < limit.matched:
        faults.append(f"{parity.matched} instances matched of {parity.expected} expected and {parity.found} found")
    if parity.box_px > limit.box_px * scale:
        faults.append(f"a box differs by {parity.box_px:.3f} px")
    if parity.score > limit.score:
        faults.append(f"a score differs by {parity.score:.1e}")
    if parity.mask_iou < limit.mask_iou and parity.mask_pixels > limit.mask_pixels:
        faults.append(f"a mask differs in {parity.mask_pixels} pixels, IoU {parity.mask_iou:.4f}")
    return faults

"""How far a bundle may differ from its reference: the one table of tolerances."""

from __future__ import annotations

from edge_seg.runtime.parity import Tolerance

FP32 = Tolerance()


# Where two engines round one value to neighbouring integers, all that follows differs a little, and rounds otherwise in
# turn: what is left to hold is that the model is the same, not its last digits. A wrong scale misses by far more.
INT8 = Tolerance(matched=0.75, box_px=8.0, score=0.3, mask_iou=0.7, mask_pixels=8, feature=0.2, least_score=0.5)


# bfloat16 has 8 bits of mantissa, and no calibration that could be wrong: what differs are the last digits.
BF16 = Tolerance(matched=0.85, box_px=4.0, score=0.1, mask_iou=0.8, mask_pixels=8, feature=0.1, least_score=0.5)


# What a device's self-test is held to where it computes otherwise than the reference: half precision has 11 bits. It
# judges the instances that the conversion's check did, to wider limits: another number of threads rounds otherwise.
SELF_TEST = {
    "int8": {
        "matched": 0.7,
        "box_px": 16.0,
        "score": 0.5,
        "mask_iou": 0.3,
        "mask_pixels": 16,
        "least_score": INT8.least_score,
    },
    "bf16": {
        "matched": 0.8,
        "box_px": 8.0,
        "score": 0.2,
        "mask_iou": 0.7,
        "mask_pixels": 16,
        "least_score": BF16.least_score,
    },
    "fp16": {"matched": 0.9, "box_px": 2.0, "score": 0.05, "mask_iou": 0.9, "mask_pixels": 8},
}


# Where the check judged features alone, which a runner doesn't see, the self-test shows that the bundle runs.
SELF_TEST_RUNS = {"matched": 0.0, "box_px": 1e6, "score": 1.0, "mask_iou": 0.0, "mask_pixels": 10**9}


def tolerance_for(precision: str) -> Tolerance:
    """What a bundle of that precision is held to, against paddle running the same rounded graphs."""
    return {"int8": INT8, "bf16": BF16}.get(precision, FP32)

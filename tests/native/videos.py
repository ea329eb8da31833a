"""Videos that tests make, and the images that OpenCV makes of their frames."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def noise(*shape: int) -> Pixels:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def y4m(planes: list[list[Pixels]], width: int, height: int, words: str) -> bytes:
    """A video of frames that are given as planes."""
    frames = b"".join(b"FRAME\n" + b"".join(plane.tobytes() for plane in frame) for frame in planes)
    return f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 {words}\n".encode() + frames


def clip(frames: int = 9, width: int = 54, height: int = 38) -> tuple[bytes, list[Pixels]]:
    """A video in Y4M, and the images that OpenCV makes of its frames."""
    planes = [[noise(height, width, i)[:, :, 0] for i in (n + 1,)] for n in range(frames)]
    chroma = [[noise(height // 2, width // 2, n + 50 + c)[:, :, 0] for c in (0, 1)] for n in range(frames)]
    images = []
    for luma, colors in zip(planes, chroma, strict=True):
        i420 = np.concatenate([plane.ravel() for plane in (*luma, *colors)]).reshape(height * 3 // 2, width)
        images.append(np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420), np.uint8))
    together = [[*luma, *colors] for luma, colors in zip(planes, chroma, strict=True)]
    return y4m(together, width, height, "C420jpeg"), images

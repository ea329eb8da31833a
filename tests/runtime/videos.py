"""Videos that tests make."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_video(path: Path, frames: int, width: int = 64, height: int = 48, rate: float = 25.0) -> None:
    """A video whose frame ``n`` is grey of about ``20 + n % 100 * 2``, in MPEG-4, or Motion JPEG in .avi."""
    code = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), rate, (width, height))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(np.full((height, width, 3), grey_of(number), np.uint8))
    writer.release()


def grey_of(frame: int) -> int:
    return 20 + frame % 100 * 2

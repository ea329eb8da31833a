"""Other light and other colours for an image, so that a model doesn't learn the camera's."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_HUE_DEGREES = 36.0


@dataclass(frozen=True)
class Jitter:
    """Factors of brightness, contrast and saturation, and a turn of the hue in degrees."""

    brightness: float
    contrast: float
    saturation: float
    hue: float

    @classmethod
    def drawn(cls, rng: np.random.Generator, strength: float) -> Jitter:
        """Factors from ``1 - strength`` to ``1 + strength``; the hue turns by up to 36 degrees times ``strength``."""
        brightness, contrast, saturation = rng.uniform(1 - strength, 1 + strength, 3)
        turn = rng.uniform(-_HUE_DEGREES, _HUE_DEGREES) * strength
        return cls(float(brightness), float(contrast), float(saturation), float(turn))

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8[h, w, 3] BGR → the same, changed."""
        changed = image.astype(np.float32) * self.brightness
        changed = (changed - changed.mean()) * self.contrast + changed.mean()
        grey = (changed @ np.array([0.114, 0.587, 0.299], np.float32))[:, :, None]
        changed = np.clip((changed - grey) * self.saturation + grey, 0, 255)
        hsv = cv2.cvtColor(changed, cv2.COLOR_BGR2HSV)
        hsv[:, :, 0] = (hsv[:, :, 0] + self.hue) % 360.0
        return np.asarray(np.clip(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR) + 0.5, 0, 255), np.uint8)

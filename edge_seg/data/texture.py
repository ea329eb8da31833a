"""What the generated images are painted with: grounds, fillings, shadows.

Glossary: S = side of the image in pixels; h, w = sides of the part of it that a shape and its shadow touch; a field
holds 0..1, float32[S, S] for a ground, float32[h, w] for a filling; x float32[1, w] and y float32[h, 1] are coordinates
about the shape's centre in radii; colours are BGR in 0..255.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Color = NDArray[np.float32]

# Muted, so that the shapes stand out: stone, sand, sea, moss, night, plum, paper, clay.
GROUNDS = (
    ("#7d8491", "#aeb6c1"),
    ("#d9c7a3", "#b89b6b"),
    ("#1f4e5f", "#4a8fa3"),
    ("#3f5641", "#7f9b78"),
    ("#1b1f3b", "#3d4674"),
    ("#4a2f48", "#7c5a78"),
    ("#efe9dd", "#cfc6b4"),
    ("#6b4a3a", "#a4765b"),
)
PAINTS = (
    "#e4572e", "#f3a712", "#ffd23f", "#a8c686", "#3bb273", "#17bebb", "#4d9de0", "#2a4bd7",
    "#7768ae", "#c04cfd", "#e15a97", "#d7263d", "#f6efe0", "#8d5a3b", "#2e294e",
)  # fmt: skip
SHADOW_OFFSET, SHADOW_BLUR = 0.1, 0.14
"""In radii of the shape."""
SHADOW_REACH = SHADOW_OFFSET + 2 * SHADOW_BLUR


def ground(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """An image with nothing on it: uint8[S, S, 3] BGR."""
    pair = GROUNDS[rng.integers(len(GROUNDS))]
    dark, light = (_vary(rng, _from_hex(code)) for code in pair)
    field = GROUND_FIELDS[rng.integers(len(GROUND_FIELDS))](rng, size)
    image = dark + (light - dark) * field[:, :, None]
    image *= (0.88 + 0.24 * _slope(rng, size))[:, :, None]
    image += np.float32(rng.uniform(1.0, 6.0)) * rng.standard_normal((size, size, 1), np.float32)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def darken(image: NDArray[np.uint8], cover: NDArray[np.uint8], radius: float) -> None:
    """Lays the soft shadow of ``cover``, uint8[h, w], on ``image``, uint8[h, w, 3], in place, to the lower right."""
    offset, side = round(radius * SHADOW_OFFSET), 2 * max(1, round(radius * SHADOW_BLUR)) + 1
    shadow = np.zeros_like(cover)
    shadow[offset:, offset:] = cover[: cover.shape[0] - offset, : cover.shape[1] - offset]
    soft = cv2.blur(cv2.blur(shadow, (side, side)), (side, side))
    factor = 1.0 - soft.astype(np.float32) * np.float32(0.5 / 255)
    image[:] = np.round(image * factor[:, :, None]).astype(np.uint8)


def paint(
    rng: np.random.Generator,
    image: NDArray[np.uint8],
    cover: NDArray[np.uint8],
    rim: NDArray[np.uint8],
    center: NDArray[np.float64],
    radius: float,
) -> None:
    """Fills ``cover`` with a colour, a pattern and light from the upper left, and darkens ``rim``: in place.

    image: uint8[h, w, 3] BGR; cover, rim: uint8[h, w], how much of each pixel is filled; center: (x, y) of the shape.
    """
    height, width = cover.shape
    first = _distinct_color(rng, image[cover > 0].astype(np.float32).mean(axis=0))
    second = _vary(rng, first, 0.35)
    x = (np.arange(width, dtype=np.float32) - np.float32(center[0]))[None, :] / np.float32(radius)
    y = (np.arange(height, dtype=np.float32) - np.float32(center[1]))[:, None] / np.float32(radius)
    filling = FILLINGS[rng.integers(len(FILLINGS))](rng, x, y)
    light = 1.12 - 0.2 * np.hypot(x + np.float32(0.45), y + np.float32(0.45))
    light *= 1.0 - rim.astype(np.float32) * np.float32(rng.uniform(0.15, 0.5) / 255)
    color = (first + (second - first) * filling[:, :, None]) * light[:, :, None]
    color += 2.5 * rng.standard_normal((height, width, 1), np.float32)
    alpha = cover.astype(np.float32)[:, :, None] * np.float32(1 / 255)
    image[:] = np.round(image + (np.clip(color, 0, 255) - image) * alpha).astype(np.uint8)


def _from_hex(code: str) -> Color:
    return np.array([int(code[i : i + 2], 16) for i in (5, 3, 1)], np.float32)


def _vary(rng: np.random.Generator, color: Color, amount: float = 0.12) -> Color:
    scale = 1 + rng.uniform(-amount, amount) + rng.uniform(-amount / 2, amount / 2, 3)
    return np.clip(color * scale, 0, 255).astype(np.float32)


def _distinct_color(rng: np.random.Generator, around: Color) -> Color:
    """One of ``PAINTS``, varied: of some drawn, the first that stands out from ``around``, or the best."""
    best, most = around, -1.0
    for _ in range(8):
        color = _vary(rng, _from_hex(PAINTS[rng.integers(len(PAINTS))]), 0.2)
        distance = float(np.abs(color - around).sum())
        if distance > most:
            best, most = color, distance
        if distance > 150:
            break
    return best


def _noise(rng: np.random.Generator, size: int, cells: tuple[int, int]) -> Field:
    """Smooth noise with ``cells`` = (rows, columns) bumps over the image."""
    grid = rng.random(cells, dtype=np.float32)
    return np.clip(cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)


def _clouds(rng: np.random.Generator, size: int) -> Field:
    octaves = [(3, 0.5), (7, 0.27), (17, 0.15), (43, 0.08)]
    field = sum(weight * _noise(rng, size, (n, n)) for n, weight in octaves)
    return _stretch(np.asarray(field, np.float32))


def _grain(rng: np.random.Generator, size: int) -> Field:
    """Like wood: fine across, long along, one way or the other."""
    field = 0.6 * _noise(rng, size, (60, 2)) + 0.4 * _noise(rng, size, (140, 3))
    return _stretch(field if rng.random() < 0.5 else np.ascontiguousarray(field.T))


def _waves(rng: np.random.Generator, size: int) -> Field:
    along = _ramp(rng, size) * rng.uniform(4, 12) + _noise(rng, size, (4, 4)) * rng.uniform(0.3, 1.2)
    return (0.5 + 0.5 * np.sin(2 * np.pi * along)).astype(np.float32)


def _tiles(rng: np.random.Generator, size: int) -> Field:
    """Tiles, each of its own tone, with darker joints."""
    side = size / rng.integers(4, 9)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / np.float32(side)
    x += (np.floor(y) % 2) * 0.5
    tones = rng.random((16, 16), dtype=np.float32)
    field = 0.35 + 0.4 * tones[np.floor(y).astype(int) % 16, np.floor(x).astype(int) % 16] + 0.25 * _clouds(rng, size)
    joint = np.minimum(np.minimum(x % 1, 1 - x % 1), np.minimum(y % 1, 1 - y % 1)) * side
    return (field * np.clip(0.45 + 0.4 * joint, 0, 1)).astype(np.float32)


def _stretch(field: Field) -> Field:
    low, high = field.min(), field.max()
    return (field - low) / max(high - low, np.float32(1e-6))


def _ramp(rng: np.random.Generator, size: int) -> Field:
    """Rises by 1 over the side of the image, in a direction drawn at random."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / np.float32(size)
    return (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))).astype(np.float32)


def _slope(rng: np.random.Generator, size: int) -> Field:
    return _stretch(_ramp(rng, size))


def _plain(rng: np.random.Generator, x: Field, y: Field) -> Field:
    return np.zeros((y.size, x.size), np.float32)


def _mottled(rng: np.random.Generator, x: Field, y: Field) -> Field:
    grid = rng.random((8, 8), dtype=np.float32)
    return np.clip(cv2.resize(grid, (x.size, y.size), interpolation=cv2.INTER_CUBIC), 0, 1)


def _striped(rng: np.random.Generator, x: Field, y: Field) -> Field:
    across, _ = _turned(rng, x, y)
    return np.clip(0.5 + 3 * np.sin(across * np.float32(rng.uniform(8, 19))), 0, 1)


def _dotted(rng: np.random.Generator, x: Field, y: Field) -> Field:
    across, down = _turned(rng, x, y)
    pitch = np.float32(rng.uniform(0.35, 0.6))
    across, down = across / pitch, down / pitch
    distance = np.hypot(across - np.round(across), down - np.round(down))
    return np.clip((0.3 - distance) * 12 + 0.5, 0, 1)


def _turned(rng: np.random.Generator, x: Field, y: Field) -> tuple[Field, Field]:
    angle = rng.uniform(0, np.pi)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * cos + y * sin, y * cos - x * sin


GROUND_FIELDS = (_clouds, _grain, _waves, _tiles, _slope)
FILLINGS = (_plain, _plain, _mottled, _striped, _dotted)

"""The native runner's reading of image files against the Python side's, pixel by pixel and refusal by refusal."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_seg.errors import ImageError
from edge_seg.runtime.image import read_image
from tests.native.probe import Probe, Refused

HEIGHT, WIDTH = 37, 53
ORIENTATION = 0x112


def scene(channels: int = 3, dtype: type = np.uint8) -> NDArray[np.integer[Any]]:
    """Smooth colours with edges in them, as photos have."""
    rng = np.random.default_rng(7)
    scale = np.iinfo(dtype).max
    noise = rng.random((HEIGHT, WIDTH, channels)).astype(np.float32)
    image = cv2.GaussianBlur(noise, (0, 0), 3).reshape(HEIGHT, WIDTH, channels)
    image = (image - image.min()) / (image.max() - image.min())
    image[10:20, 15:40] = 1 - image[10:20, 15:40]
    return np.asarray(image * scale, dtype)


def encode(image: NDArray[np.integer[Any]], suffix: str, *options: int) -> bytes:
    done, content = cv2.imencode(suffix, image, options)
    assert done
    return content.tobytes()


def exif(orientation: int, order: str = ">") -> bytes:
    """An EXIF block whose first entry isn't the one looked for."""
    mark = b"MM" if order == ">" else b"II"
    width = struct.pack(order + "HHII", 0x100, 4, 1, WIDTH)
    turned = struct.pack(order + "HHIHH", ORIENTATION, 3, 1, orientation, 0)
    return mark + struct.pack(order + "HIH", 42, 8, 2) + width + turned + bytes(4)


def segment(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(depth: int, color: int, rows: list[bytes], extra: bytes = b"") -> bytes:
    """A PNG of kinds that OpenCV doesn't write: ``rows`` without filter bytes, ``extra`` chunks before the pixels."""
    width = len(rows[0]) * 8 // (depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color])
    return assemble(struct.pack(">IIBBBBB", width, len(rows), depth, color, 0, 0, 0), rows, extra)


def interlaced() -> bytes:
    """A PNG that comes in seven passes: (first x, first y, step across, step down)."""
    image = scene()
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = [row.tobytes() for x, y, across, down in passes for row in image[y::down, x::across]]
    return assemble(struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 1), rows)


def assemble(head: bytes, rows: list[bytes], extra: bytes = b"") -> bytes:
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + pixels + chunk(b"IEND", b"")


def noise(depth: int, samples: int) -> list[bytes]:
    rng = np.random.default_rng(depth * samples)
    return [rng.bytes(40 * depth * samples // 8) for _ in range(24)]


PALETTE = chunk(b"PLTE", bytes(range(48)))
JPEG = encode(scene(), ".jpg")
PNG = encode(scene(), ".png")

IMAGES = {
    "jpeg": JPEG,
    "jpeg-grey": encode(scene(1), ".jpg"),
    "jpeg-progressive": encode(scene(), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "jpeg-restart-markers": encode(scene(), ".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "jpeg-poor": encode(scene(), ".jpg", cv2.IMWRITE_JPEG_QUALITY, 5),
    **{
        f"jpeg-sampling-{factor:x}": encode(scene(), ".jpg", cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor)
        for factor in (0x411111, 0x221111, 0x211111, 0x121111, 0x111111)
    },
    **{f"jpeg-exif-{o}": JPEG[:2] + segment(b"Exif\0\0" + exif(o)) + JPEG[2:] for o in range(10)},
    "jpeg-exif-little-endian": JPEG[:2] + segment(b"Exif\0\0" + exif(8, "<")) + JPEG[2:],
    "jpeg-exif-cut": JPEG[:2] + segment(b"Exif\0\0" + exif(8)[:30]) + JPEG[2:],
    "jpeg-exif-cut-behind-its-value": JPEG[:2] + segment(b"Exif\0\0" + exif(8)[:32]) + JPEG[2:],
    "jpeg-exif-of-no-byte-order": JPEG[:2] + segment(b"Exif\0\0?" + exif(8)[1:]) + JPEG[2:],
    "jpeg-exif-empty": JPEG[:2] + segment(b"Exif\0\0") + JPEG[2:],
    "jpeg-exif-after-xmp": JPEG[:2] + segment(b"http://ns.adobe.com/xap/1.0/\0<x/>") + segment(exif(6)) + JPEG[2:],
    "jpeg-exif-before-xmp": JPEG[:2] + segment(b"Exif\0\0" + exif(6)) + segment(b"http://ns.adobe.com/") + JPEG[2:],
    "png": PNG,
    "png-grey": encode(scene(1), ".png"),
    "png-alpha": encode(scene(4), ".png"),
    "png-16": encode(scene(3, np.uint16), ".png"),
    "png-grey-16": encode(scene(1, np.uint16), ".png"),
    "png-alpha-16": encode(scene(4, np.uint16), ".png"),
    **{f"png-grey-{depth}": png(depth, 0, noise(depth, 1)) for depth in (1, 2, 4)},
    **{f"png-palette-{depth}": png(depth, 3, noise(depth, 1), PALETTE) for depth in (1, 2, 4)},
    "png-palette-transparent": png(4, 3, noise(4, 1), PALETTE + chunk(b"tRNS", bytes([0, 128, 255]))),
    "png-grey-alpha": png(8, 4, noise(8, 2)),
    "png-grey-alpha-16": png(16, 4, noise(16, 2)),
    "png-transparent-colour": png(8, 2, noise(8, 3), chunk(b"tRNS", bytes(6))),
    "png-gamma": png(8, 2, noise(8, 3), chunk(b"gAMA", struct.pack(">I", 100000))),
    "png-interlaced": interlaced(),
    "png-exif": PNG[:33] + chunk(b"eXIf", exif(6)) + PNG[33:],
    "png-exif-at-end": PNG[:-12] + chunk(b"eXIf", exif(3)) + PNG[-12:],
    "one-pixel.jpg": encode(scene()[:1, :1], ".jpg"),
    "one-pixel.png": encode(scene()[:1, :1], ".png"),
    "one-column.jpg": encode(scene()[:, :1], ".jpg"),
    "one-row.png": encode(scene()[:1], ".png"),
}

DAMAGED = {
    "empty": b"",
    "text": b"not an image",
    "jpeg-head-only": JPEG[:2],
    "jpeg-cut": JPEG[: len(JPEG) // 2],
    "jpeg-without-end": JPEG[:-2],
    "jpeg-cut-thumbnail": JPEG[:2] + segment(b"Exif\0\0\xff\xd9") + JPEG[2:-2],
    "jpeg-no-tables": JPEG.replace(b"\xff\xdb", b"\xff\xe5"),
    "jpeg-garbage": b"\xff\xd8\xff" + bytes(50) + b"\xff\xd9",
    "jpeg-12-bit": JPEG.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"),
    "png-head-only": PNG[:8],
    "png-cut": PNG[: len(PNG) // 2],
    "png-without-end": PNG[:-12],
    "png-wrong-checksum": PNG[:23] + bytes([PNG[23] ^ 1]) + PNG[24:],
    "png-no-width": png(8, 2, noise(8, 3)).replace(struct.pack(">II", 40, 24), struct.pack(">II", 0, 24)),
    "png-garbage": b"\x89PNG\r\n\x1a\n" + bytes(40) + b"IEND",
}


def both(probe: Probe, path: Path) -> tuple[NDArray[np.uint8] | str, NDArray[np.uint8] | str]:
    """What the native side and Python make of a file: the image, or the error's code."""
    native: NDArray[np.uint8] | str
    python: NDArray[np.uint8] | str
    try:
        answer, (content,) = probe("read", path=str(path))
        native = np.frombuffer(content, np.uint8).reshape(answer["height"], answer["width"], 3)
    except Refused as problem:
        native = problem.code if str(path) in problem.message else problem.message
    try:
        python = read_image(path)
    except ImageError as problem:
        python = problem.code
    return native, python


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_the_same(probe: Probe, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(IMAGES[name])
    native, python = both(probe, tmp_path / name)
    assert isinstance(python, np.ndarray)
    np.testing.assert_array_equal(native, python)


def test_inks_are_the_same(probe: Probe, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image").fromarray(np.asarray(scene(4)), "CMYK")
    image.save(tmp_path / "inks.jpg", quality=90)
    native, python = both(probe, tmp_path / "inks.jpg")
    np.testing.assert_array_equal(native, python)


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_images_are_refused_alike(probe: Probe, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(DAMAGED[name])
    native, python = both(probe, tmp_path / name)
    assert isinstance(native, str)
    assert native == python


def test_missing_image_and_folder_are_refused_alike(probe: Probe, tmp_path: Path) -> None:
    assert both(probe, tmp_path / "none.jpg") == ("image-missing", "image-missing")
    assert both(probe, tmp_path) == ("image-unreadable", "image-unreadable")


def test_large_photo(probe: Probe, tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    image = cv2.resize(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8), (2000, 1500), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "large.jpg"), image)
    native, python = both(probe, tmp_path / "large.jpg")
    np.testing.assert_array_equal(native, python)


def test_flipped_bits_end_in_an_image_or_a_refusal(probe: Probe, tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    for number in range(200):
        content = bytearray((JPEG, PNG)[number % 2])
        for _ in range(int(rng.integers(1, 8))):
            content[rng.integers(0, len(content))] ^= 1 << int(rng.integers(0, 8))
        (tmp_path / "flipped").write_bytes(content)
        native, python = both(probe, tmp_path / "flipped")
        assert isinstance(native, (str, np.ndarray))
        if isinstance(native, np.ndarray) and isinstance(python, np.ndarray):
            assert native.shape == python.shape

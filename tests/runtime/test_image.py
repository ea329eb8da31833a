"""Images of every kind, and what isn't one."""

from __future__ import annotations

import os
import resource
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_seg.errors import ImageError
from edge_seg.runtime.image import as_bgr, read_image


def write(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def encode(suffix: str, image: np.ndarray) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def test_grey_alpha_and_16_bits_become_8_bit_bgr(tmp_path: Path, photo: np.ndarray) -> None:
    grey = photo[:, :, 1]
    deep = photo.astype(np.uint16) * 256 + 77
    np.testing.assert_array_equal(read_image(write(tmp_path, "a.png", encode(".png", photo))), photo)
    np.testing.assert_array_equal(read_image(write(tmp_path, "g.png", encode(".png", grey))), np.dstack([grey] * 3))
    np.testing.assert_array_equal(read_image(write(tmp_path, "d.png", encode(".png", deep))), photo)
    np.testing.assert_array_equal(read_image(write(tmp_path, "d.tiff", encode(".tiff", deep))), photo)
    deep_grey = read_image(write(tmp_path, "dg.png", encode(".png", deep[:, :, 0])))
    np.testing.assert_array_equal(deep_grey, np.dstack([photo[:, :, 0]] * 3))
    alpha = np.dstack([photo, grey])
    np.testing.assert_array_equal(read_image(write(tmp_path, "alpha.png", encode(".png", alpha))), photo)


def test_exif_turns_the_image(tmp_path: Path, photo: np.ndarray, exif_jpeg: bytes) -> None:
    upright = read_image(write(tmp_path, "turned.jpg", exif_jpeg))
    plain = read_image(write(tmp_path, "plain.jpg", encode(".jpg", photo)))
    np.testing.assert_array_equal(upright, np.rot90(plain, -1))


def test_one_pixel(tmp_path: Path) -> None:
    assert read_image(write(tmp_path, "1.png", encode(".png", np.full((1, 1, 3), 9, np.uint8)))).tolist() == [[[9] * 3]]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff", ".webp", ".ppm"])
@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_cut_short(tmp_path: Path, photo: np.ndarray, suffix: str, keep: float) -> None:
    content = encode(suffix, photo)
    with pytest.raises(ImageError, match="cut"):
        read_image(write(tmp_path, f"cut{suffix}", content[: int(len(content) * keep)]))


def test_jpeg_with_a_thumbnail_is_whole_only_with_its_own_end(tmp_path: Path, photo: np.ndarray) -> None:
    jpeg, small = encode(".jpg", photo), encode(".jpg", photo[::8, ::8])
    with_thumbnail = jpeg[:2] + b"\xff\xed" + (len(small) + 2).to_bytes(2, "big") + small + jpeg[2:]
    assert read_image(write(tmp_path, "ok.jpg", with_thumbnail)).shape == photo.shape
    with pytest.raises(ImageError, match="cut short"):
        read_image(write(tmp_path, "cut.jpg", with_thumbnail[:-400]))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(50), "damaged, or not an image in JPEG, PNG"),
        (b"GIF89a" + bytes(50), "damaged, or not an image in JPEG, PNG"),
        (b"no image at all", "not an image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99) + b"IEND", "not an image"),
    ],
)
def test_no_image(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        read_image(write(tmp_path, "file.png", content))
    assert "file.png" in caught.value.message


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for a writer
    (tmp_path / "link.png").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe.png", tmp_path / "link.png", Path("/dev/zero")):
        with pytest.raises(ImageError, match="a pipe or a device") as caught:
            read_image(path)
        assert str(path) in caught.value.message
    with pytest.raises(ImageError, match="a folder"):
        read_image(tmp_path)


def test_floating_point_is_refused_by_name(tmp_path: Path, photo: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"f\.tiff: holds float32"):
        read_image(write(tmp_path, "f.tiff", encode(".tiff", photo.astype(np.float32) / 255)))


def sof(width: int, height: int, marker: int = 0xC0) -> bytes:
    """A JPEG's frame header."""
    return struct.pack(">BBHBHHB", 0xFF, marker, 17, 8, height, width, 3) + bytes(9)


WIDE, HIGH = 20039, 35152
BOMBS = {
    "jpg": b"\xff\xd8" + sof(WIDE, HIGH) + b"\xff\xda\0\x02\xff\xd9",
    "jpg behind noise": b"\xff\xd8\xff\xe0\0\x04ab??" + sof(WIDE, HIGH) + b"\xff\xda\0\x02\xff\xd9",
    "jpg behind another frame": b"\xff\xd8" + sof(8, 8) + sof(WIDE, HIGH) + b"\xff\xda\0\x02\xff\xd9",
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", WIDE, HIGH) + bytes(40) + b"IEND",
    "bmp": b"BM" + bytes(12) + struct.pack("<Iii", 40, WIDE, -HIGH) + bytes(60),
    "ppm": b"P6 20039 35152 255\n" + bytes(100),
    "ppm with a comment": b"P6\n#5 5\r20039\n#\n35152\n255\n" + bytes(100),
    "tiff": b"II*\0\x08\0\0\0\x02\0" + struct.pack("<HHIIHHII", 256, 4, 1, WIDE, 257, 3, 1, HIGH) + bytes(60),
    "tiff of Motorola": b"MM\0*\0\0\0\x08\0\x02"
    + struct.pack(">HHIHHHHII", 256, 3, 1, WIDE, 0, 257, 4, 1, HIGH)
    + bytes(60),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_claimed_size_beyond_the_limit_is_refused_before_decoding(name: str, tmp_path: Path) -> None:
    file = write(tmp_path, f"bomb.{name.split()[0]}", BOMBS[name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageError, match=r"(?s)bomb\.\w+: 20039 x 35152 pixels .*EDGE_SEG_MAX_PIXELS") as caught:
        read_image(file)
    assert caught.value.code == "image-too-large"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_a_large_webp_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: np.ndarray) -> None:
    monkeypatch.setenv("EDGE_SEG_MAX_PIXELS", "100")
    for options in ([], [cv2.IMWRITE_WEBP_QUALITY, 101]):
        content = cv2.imencode(".webp", photo, options)[1].tobytes()
        height, width = photo.shape[:2]
        with pytest.raises(ImageError, match=f"{width} x {height} pixels .* in WebP, expected at most 100"):
            read_image(write(tmp_path, "a.webp", content))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tiff", ".webp", ".ppm"])
def test_the_limit_can_be_set(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: np.ndarray) -> None:
    file = write(tmp_path, f"a{suffix}", encode(suffix, photo))
    assert read_image(file).shape == photo.shape
    monkeypatch.setenv("EDGE_SEG_MAX_PIXELS", str(photo.shape[0] * photo.shape[1] - 1))
    with pytest.raises(ImageError, match="pixels on this machine"):
        read_image(file)


def test_a_header_without_an_image_takes_no_memory(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cut short: 29 bytes can't hold 10000 x 10000 pixels"):
        read_image(write(tmp_path, "a.jpg", b"\xff\xd8" + sof(10000, 10000) + b"\xff\xda\0\x02\xff\xd9\0\0"))


def test_a_jpeg_of_a_thousand_scans_is_refused(tmp_path: Path, photo: np.ndarray) -> None:
    content = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert read_image(write(tmp_path, "a.jpg", content)).shape == photo.shape
    last = content.rindex(b"\xff\xda")
    bomb = content[:-2] + content[last:-2] * 1000 + content[-2:]
    with pytest.raises(ImageError, match=r"a\.jpg: 1,010 scans"):
        read_image(write(tmp_path, "a.jpg", bomb))


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such image file"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="a folder"):
        read_image(tmp_path)


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 3), (5, 6, 4)])
def test_arrays_become_bgr(shape: tuple[int, ...]) -> None:
    image = as_bgr(np.full(shape, 7, np.uint8))
    assert image.shape == (5, 6, 3)
    assert (image == 7).all()


@pytest.mark.parametrize(
    "value",
    [
        [[1, 2]],
        np.zeros((5, 6, 3), np.float32),
        np.zeros((5, 6, 2), np.uint8),
        np.zeros((0, 6, 3), np.uint8),
        np.zeros((1, 5, 6, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(value: Any) -> None:
    with pytest.raises(ImageError):
        as_bgr(value)

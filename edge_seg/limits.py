"""The most that a file, an image, an archive or a program from outside may ask of this machine.

One number for each thing, so that a small file can't fill the memory or keep a command busy for hours. The C++ runner
holds the same figures. Nothing heavy is imported here.
"""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path

MEBIBYTE = 1 << 20

JSON_BYTES = 16 * MEBIBYTE
"""A JSON file of our own (manifest, run, golden result). Python needs up to 30 times a file's size for its values."""
DATASET_JSON_BYTES = 1024 * MEBIBYTE
"""A dataset's annotations: those of COCO's training set take 470 MB."""
YAML_BYTES = MEBIBYTE // 4
"""The settings beside an imported model; real ones take 2 to 30 kB."""
YAML_VALUES = 100_000
"""Values of a YAML file once its aliases are written out: nine lines can stand for a thousand million."""
RECORD_LINE_BYTES = 16 * MEBIBYTE
"""One record: 200 bytes a sample."""
TEXT_FILE_BYTES = MEBIBYTE
"""A small text file: a key, a list of names, a state of the system."""

LINE_BYTES = 8 * MEBIBYTE
"""One line that a board's runner prints: a result with the masks of a thousand instances takes 2 MB."""
OUTPUT_BYTES = 1024 * MEBIBYTE
"""Everything that a board's runner prints."""
CHILD_BYTES = 8 * MEBIBYTE
"""What is kept of each stream of a child: the end, where its answer stands."""

ARCHIVE_DEPTH = 32
"""Folders inside each other in an archive. Deep ones make paths that no later command can open or remove."""
ARCHIVE_NAME_BYTES = 1024
"""A whole name in an archive; Linux opens no path of more than 4,095 bytes, the folder before it included."""

NAME_LENGTH = 500
"""Characters in the name of an array, a class, a file."""
PICKLE_STEPS = 1_000_000
"""Instructions in a weights file: about 40 an array, and each may make an object of 250 bytes."""

JPEG_SCANS = 100
"""Scans of a JPEG; encoders write 1 to 12. Each costs a walk over the whole image, however few bytes it has."""
JPEG_SCAN_PIXELS = 1 << 31
"""Scans times pixels of a JPEG."""

RLE_GROUPS = 1 << 22
"""Runs in the counts of one mask: more than an honest mask of 2,000 x 2,000 pixels can have."""

_PIXELS = 178_956_970  # where Pillow as well refuses an image: 2^29 bytes at three bytes a pixel
_BYTES_OF_A_PIXEL = 24  # what reading, resizing and drawing may take, twice over
_LEAST_PIXELS = 1 << 24
PIXELS_VARIABLE = "EDGE_SEG_MAX_PIXELS"


IMAGE_BYTES = 512 * MEBIBYTE
"""An image file."""


def image_pixels() -> int:
    """The most pixels of an image: 178,956,970, fewer where a 24th of :func:`memory_bytes` is fewer.

    At least 16,777,216. The environment variable ``EDGE_SEG_MAX_PIXELS`` sets another number.
    """
    setting = os.environ.get(PIXELS_VARIABLE, "")
    if setting.isascii() and setting.isdecimal() and len(setting) <= 12 and int(setting) > 0:
        return int(setting)
    return max(_LEAST_PIXELS, min(_PIXELS, memory_bytes() // _BYTES_OF_A_PIXEL))


@functools.cache
def memory_bytes(root: Path = Path("/")) -> int:
    """This machine's memory, or what a container may use of it where that is less: Linux' control groups say so.

    A group is bound by its own limit and by those of the groups around it (cgroups(7); version 1 and 2).
    """
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    groups: list[str] = []
    with contextlib.suppress(OSError, UnicodeError):
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    for line in groups:
        _, _, named = line.partition(":")
        controllers, _, path = named.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        place, file = (
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes") if controllers else ("sys/fs/cgroup", "memory.max")
        )
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            with contextlib.suppress(OSError, ValueError):  # not there, or "max"
                found.append(int(root.joinpath(place, *parts[:depth], file).read_text()))
    return min(found)

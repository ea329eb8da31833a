"""libedge_seg: installed, found by CMake, and a C program of forty lines that uses it, on this machine and on Arm."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from pycocotools import mask as coco

from tests.native.bundles import native
from tests.native.conftest import BUILDS, MACHINES, built
from tests.native.running import RUN, of_kind

EXAMPLE = Path(__file__).parents[2] / "cmake" / "example"
HEADER = EXAMPLE.parent / "include" / "edge_seg.h"


TOOLCHAINS = {"aarch64": "aarch64-linux-gnu", "armhf": "arm-linux-gnueabihf"}
EMULATED = {"aarch64": "cortex-a72", "armhf": "cortex-a9"}
"""A board of each; it has a C library and no other."""


@pytest.fixture(scope="module", params=[machine for machine in built("libedge_seg.so") if machine != "sanitize"])
def segment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The example's command, built against the installed library as a user would."""
    machine = request.param
    if not (BUILDS / machine / "libedge_seg.so").exists():
        pytest.skip("the native runner isn't built: `make native` builds it")
    folder = tmp_path_factory.mktemp(f"example-{machine}")
    configure = ["cmake", "-S", EXAMPLE, "-B", folder / "build"]
    if machine in TOOLCHAINS:
        configure += [f"-DCMAKE_TOOLCHAIN_FILE={HEADER.parents[1]}/toolchains/{TOOLCHAINS[machine]}.cmake"]
        configure += [f"-Dedge_seg_DIR={folder}/installed/lib/cmake/edge_seg"]
    else:
        configure += [f"-DCMAKE_PREFIX_PATH={folder}/installed"]
    for command in (
        ["cmake", "--install", BUILDS / machine, "--prefix", folder / "installed"],
        configure,
        ["cmake", "--build", folder / "build"],
    ):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    emulator = [str(BUILDS / machine / "emulate"), EMULATED[machine]] if machine in EMULATED else []
    return [*emulator, str(folder / "build" / "segment")]


def run(segment: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "EDGE_SEG_ENGINE": "null"}
    return subprocess.run([*segment, *words], env=environment, capture_output=True, text=True, timeout=60)


def test_the_example_prints_what_a_bundle_finds(segment: list[str], folder: Path) -> None:
    done = run(segment, "bundle", "a photo.jpg", "pixel.png")
    assert done.returncode == 0, done.stderr
    assert "a photo.jpg: 200 x 120 pixels" in done.stdout
    assert len(EXAMPLE.joinpath("segment.c").read_text().splitlines()) <= 40


def test_errors_say_what_and_how_to_mend_it(segment: list[str], folder: Path) -> None:
    for words, said in (
        (("none", "pixel.png"), "no such bundle"),
        (("bundle", "none.png"), "no such image"),
        (("bundle", "broken.jpg"), "cut short"),
    ):
        done = run(segment, *words)
        assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    Path("bundle/mask.nb").write_bytes(b"altered")
    assert "altered or damaged" in run(segment, "bundle", "pixel.png").stderr


class Instance(ctypes.Structure):
    _fields_ = (("box", ctypes.c_float * 4), ("score", ctypes.c_float), ("class_index", ctypes.c_int))


class Options(ctypes.Structure):
    _fields_ = (
        ("engine", ctypes.c_char_p),
        ("threads", ctypes.c_int),
        ("power_mode", ctypes.c_char_p),
        ("score", ctypes.c_double),
        ("top_k", ctypes.c_int),
        ("instances", ctypes.c_int),
        ("public_key", ctypes.c_char_p),
    )


@pytest.fixture
def library() -> ctypes.CDLL:
    file = BUILDS / "host" / "libedge_seg.so"
    if not file.exists():
        pytest.skip("the native runner isn't built: `make native` builds it")
    library = ctypes.CDLL(str(file))
    library.edge_seg_open.restype = ctypes.c_void_p
    for name in ("edge_seg_error", "edge_seg_error_code", "edge_seg_class_name", "edge_seg_rle", "edge_seg_version"):
        getattr(library, name).restype = ctypes.c_char_p
    return library


def open_null(library: ctypes.CDLL, bundle: str, **changes: object) -> ctypes.c_void_p:
    options = Options()
    library.edge_seg_default_options(ctypes.byref(options))
    options.engine = b"null"
    for name, value in changes.items():
        setattr(options, name, value)
    return ctypes.c_void_p(library.edge_seg_open(bundle.encode(), ctypes.byref(options)))


def test_what_the_runner_finds_the_library_finds(library: ctypes.CDLL, folder: Path, local: list[str]) -> None:
    """The null engine has no score above zero, so a number of instances is asked for."""
    _, lines = native(local, *RUN, "--repeat", "1", "--image", "a photo.jpg", "--instances", "3")
    expected = of_kind(lines, "result")[0]
    model = open_null(library, "bundle", instances=3)
    assert model
    try:
        count = library.edge_seg_segment_file(model, b"a photo.jpg")
        assert count == len(expected["instances"]) == 3
        width, height = ctypes.c_int(), ctypes.c_int()
        assert library.edge_seg_size(model, ctypes.byref(width), ctypes.byref(height)) == 0
        assert (width.value, height.value) == (expected["width"], expected["height"])
        for index, instance in enumerate(expected["instances"]):
            found = Instance()
            assert library.edge_seg_get(model, index, ctypes.byref(found)) == 0
            assert list(found.box) == pytest.approx(instance["box"])
            code = library.edge_seg_rle(model, index).decode()
            assert code == instance["segmentation"]["counts"]
            mask = np.zeros((expected["height"], expected["width"] + 7), np.uint8)
            there = mask.ctypes.data_as(ctypes.c_void_p)
            assert library.edge_seg_mask(model, index, there, ctypes.c_size_t(mask.shape[1])) == 0
            decoded = coco.decode({"size": [expected["height"], expected["width"]], "counts": code.encode()})
            np.testing.assert_array_equal(mask[:, : expected["width"]], decoded)
            assert not mask[:, expected["width"] :].any()
        content = Path("a photo.jpg").read_bytes()
        assert library.edge_seg_segment_encoded(model, content, ctypes.c_size_t(len(content))) == count
    finally:
        library.edge_seg_close(model)


def test_wrong_calls_are_errors_and_not_crashes(library: ctypes.CDLL, folder: Path) -> None:
    assert library.edge_seg_open(None, None) is None
    assert library.edge_seg_error_code() == b"usage"
    for changes in ({"engine": b"other"}, {"threads": -1}, {"power_mode": b"other"}, {"score": 2.0}, {"top_k": -3}):
        assert not open_null(library, "bundle", **changes), changes
        assert library.edge_seg_error_code() in (b"usage", b"engine-unknown")
        assert library.edge_seg_error()
    model = open_null(library, "bundle")
    for call in (
        lambda: library.edge_seg_segment(model, None, 4, 4, ctypes.c_size_t(12), 0),
        lambda: library.edge_seg_segment(model, b"x" * 48, 4, 4, ctypes.c_size_t(11), 0),
        lambda: library.edge_seg_segment(model, b"x" * 48, 4, 4, ctypes.c_size_t(12), 2),
        lambda: library.edge_seg_segment(model, b"x" * 48, 0, 4, ctypes.c_size_t(12), 0),
        lambda: library.edge_seg_segment_encoded(model, b"text", ctypes.c_size_t(4)),
        lambda: library.edge_seg_get(model, 0, ctypes.byref(Instance())),
        lambda: library.edge_seg_size(model, None, None),
    ):
        assert call() == -1
        assert library.edge_seg_error()
    assert library.edge_seg_class_name(model, 99) is None
    assert library.edge_seg_class_name(model, 0) is not None
    assert library.edge_seg_self_test(model) in (0, -1)
    library.edge_seg_close(model)
    library.edge_seg_close(None)


@pytest.mark.parametrize("machine", ["host", "aarch64", "armhf"])
def test_nothing_else_is_shown(machine: str) -> None:
    file = BUILDS / machine / "libedge_seg.so"
    if not file.exists():
        pytest.skip(f"libedge_seg isn't built for {machine}: `make {MACHINES[machine][0]}` builds it")
    with file.open("rb") as stream:
        table = ELFFile(stream).get_section_by_name(".dynsym")
        assert isinstance(table, SymbolTableSection)
        names = {one.name for one in table.iter_symbols() if one["st_shndx"] != "SHN_UNDEF" and one.name}
    declared = re.findall(r"\b(edge_seg_\w+)\(", HEADER.read_text().split("#define EDGE_SEG_API")[1])
    assert names == set(declared)
    assert len(names) == 16

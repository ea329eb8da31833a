"""Damaged bundles, images and command lines: an `error` line with code and remedy, and never silence or a signal."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.null_bundle import make_null_bundle
from tests.native.bundles import Lines, edit, native
from tests.native.test_images import DAMAGED

RUN = ("--bundle", "bundle", "--engine", "null", "--json", "--warmup", "0", "--repeat", "1")
PHOTO = ("--image", "a photo.jpg")


def fields(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every field of a manifest, with its place."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from fields(inner, (*path, name))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("plain") / "bundle"
    make_null_bundle(folder, size=(64, 96), proposals=12, classes=("circle", "square"), keep=20)
    read: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return read


def check(code: int, lines: Lines, *, exit_code: int | None = None) -> dict[str, Any]:
    error = lines[-1]
    assert code in ((1, 2) if exit_code is None else (exit_code,)), lines
    assert error["type"] == "error"
    assert error["code"] not in ("", "bug", "crashed"), error
    assert error["message"]
    assert error["remedy"], error
    return error


FREE = {("source",)}  # what it holds is nobody's business but the converter's


@pytest.mark.slow
def test_every_field_of_the_manifest(local: list[str], folder: Path, manifest: dict[str, Any]) -> None:
    """Taken out, and replaced by something of another kind."""
    count = 0
    for path, value in fields(manifest):
        if path[:1] in FREE:
            continue
        others: list[Any] = [None, {"a": [1]}, [[]], "?", -7, 1e300, True]
        for other in [..., *others]:
            changed = json.loads(json.dumps(manifest))
            inner = changed
            for name in path[:-1]:
                inner = inner[name]
            if other is ...:
                del inner[path[-1]]
            elif type(other) is type(value) or (isinstance(value, float) and isinstance(other, int)):
                continue
            else:
                inner[path[-1]] = other
            Path("bundle/manifest.json").write_text(json.dumps(changed))
            check(*native(local, *RUN, *PHOTO), exit_code=1)
            count += 1
    assert count > 100


def rewrite(change: Callable[[bytes], bytes], name: str = "manifest.json") -> Callable[[Path], Any]:
    return lambda bundle: (bundle / name).write_bytes(change((bundle / name).read_bytes()))


def replaced(name: str, make: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """The file makes way for something else of its name."""

    def damage(bundle: Path) -> None:
        (bundle / name).rename(bundle.parent / "moved")
        make(bundle / name)

    return damage


def removed(name: str) -> Callable[[Path], Any]:
    return lambda bundle: (bundle / name).unlink()


def linked(target: str) -> Callable[[Path], Any]:
    return lambda file: file.symlink_to(target)


def value(*place: str, to: Any) -> Callable[[Path], Any]:
    return lambda bundle: edit(bundle, *place, value=to)


def drop(bundle: Path, graph: str) -> None:
    graphs = json.loads((bundle / "manifest.json").read_text())["graphs"]
    del graphs[graph]
    edit(bundle, "graphs", value=graphs)


def pooled(head: str, *shape: int) -> Callable[[Path], Any]:
    """The head's features have another shape."""

    def damage(bundle: Path) -> None:
        inputs = json.loads((bundle / "manifest.json").read_text())["graphs"][head]["inputs"]
        inputs[0]["shape"] = shape
        edit(bundle, "graphs", head, "inputs", value=inputs)

    return damage


FILES = ("manifest.json", "detect.nb", "mask.nb", "golden/image.png", "golden/expected.json")
BUNDLES: dict[str, Callable[[Path], Any]] = {
    **{f"{name} is gone": removed(name) for name in FILES},
    **{f"{name} is empty": rewrite(lambda content: b"", name) for name in FILES},
    **{f"{name} is cut": rewrite(lambda content: content[:-1], name) for name in FILES},
    **{f"{name} is longer": rewrite(lambda content: content + b"?", name) for name in FILES},
    **{f"{name} has a flipped bit": rewrite(lambda c: bytes([c[0] ^ 1]) + c[1:], name) for name in FILES},
    **{f"{name} is a folder": replaced(name, Path.mkdir) for name in FILES},
    **{f"{name} is a link to nothing": replaced(name, linked("nothing")) for name in FILES},
    **{f"{name} is a link to itself": replaced(name, linked(Path(name).name)) for name in FILES},
    **{f"{name} is a link out of the bundle": replaced(name, linked("/etc/passwd")) for name in FILES},
    **{f"{name} is a pipe": replaced(name, os.mkfifo) for name in FILES},
    "the manifest isn't UTF-8": rewrite(lambda content: content.replace(b"null-test", b"\xff\xfe")),
    "the manifest is UTF-16": rewrite(lambda content: content.decode().encode("utf-16")),
    "the manifest is a list": rewrite(lambda content: b"[" + content + b"]"),
    "the manifest is a number": rewrite(lambda content: b"7"),
    "the manifest is two": rewrite(lambda content: content * 2),
    "the manifest is deep": rewrite(lambda content: b"[" * 300_000),
    "the manifest is deep objects": rewrite(lambda content: b'{"a":' * 300_000),
    "the manifest has bytes of zero": rewrite(lambda content: b"\0" * len(content)),
    "a number is infinite": rewrite(lambda content: content.replace(b'"proposals": 12', b'"proposals": 1e999')),
    "a number is no number": rewrite(lambda content: content.replace(b'"proposals": 12', b'"proposals": NaN')),
    "a number is huge": value("proposals", to=2**63),
    "no proposals": value("proposals", to=0),
    "more proposals than fit": value("proposals", to=2**31),
    "no classes": value("classes", to=[]),
    "a category too few": value("category_ids", to=[1]),
    "sides of zero": value("preprocess", "size", to=[0, 0]),
    "negative sides": value("preprocess", "size", to=[-64, -96]),
    "sides beyond all memory": value("preprocess", "size", to=[1 << 20, 1 << 20]),
    "sides beyond an int": value("preprocess", "size", to=[1 << 40, 32]),
    "other sides than the graph's": value("preprocess", "size", to=[96, 64]),
    "three sides": value("preprocess", "size", to=[64, 96, 3]),
    "a deviation of zero": value("preprocess", "std", to=[0.0, 1.0, 1.0]),
    "four means": value("preprocess", "mean", to=[0.0] * 4),
    "colours of another order": value("preprocess", "color", to="GRB"),
    "a threshold of two": value("postprocess", "score_threshold", to=2.0),
    "an overlap of minus one": value("postprocess", "nms_iou", to=-1.0),
    "nothing to keep": value("postprocess", "keep", to=0),
    "all to keep": value("postprocess", "keep", to=2**31 - 1),
    "no graphs": value("graphs", to={}),
    "one graph": value("graphs", "mask", to={}),
    "a graph without files": value("graphs", "mask", "files", to={}),
    "a graph without inputs": value("graphs", "detect", "inputs", to=[]),
    "a graph without outputs": value("graphs", "mask", "outputs", to=[]),
    "a hash of another kind": value("graphs", "mask", "files", to={"mask.nb": "123"}),
    "a file of the parent folder": value("graphs", "mask", "files", to={"../a photo.jpg": "0" * 64}),
    "a file of the root": value("graphs", "mask", "files", to={"/etc/passwd": "0" * 64}),
    "a file without a name": value("graphs", "mask", "files", to={"": "0" * 64}),
    "a name of many letters": value("graphs", "mask", "files", to={"x" * 5000: "0" * 64}),
    "a name with a line's end": value("graphs", "mask", "files", to={"a\nb": "0" * 64}),
    "another engine": value("engine", to="other"),
    "another target": value("target", to="moon"),
    "no golden image": value("golden", "image", to="golden/none.png"),
    "more golden instances than kept": value("golden", "instances", to=21),
    "a signature that is none": lambda bundle: (bundle / "signature.json").write_text("[]"),
    "a folder for a signature": lambda bundle: (bundle / "signature.json").mkdir(),
    "another manifest was signed": lambda bundle: (bundle / "signature.json").write_text('{"manifest_sha256": "0"}'),
}


@pytest.mark.parametrize("name", BUNDLES)
def test_damaged_bundles(local: list[str], folder: Path, name: str) -> None:
    BUNDLES[name](folder / "bundle")
    engine = () if name in ("another engine", "another target") else ("--engine", "null")
    options = ("--bundle", "bundle", *engine, "--json", "--warmup", "0", "--repeat", "1", "--self-test", *PHOTO)
    check(*native(local, *options))


THREE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no canonical size": (value("canonical_size", to=None), "canonical_size"),
    "a canonical size of zero": (value("canonical_size", to=0), "canonical_size"),
    "a canonical size in words": (value("canonical_size", to="224"), "canonical_size"),
    "no box head": (lambda bundle: drop(bundle, "box_head"), "'box_head'"),
    "no mask head": (lambda bundle: drop(bundle, "mask_head"), "'mask_head'"),
    "no trunk": (lambda bundle: drop(bundle, "trunk"), "'detect'"),
    "features that aren't square": (pooled("box_head", 12, 8, 7, 14), "pooled float32[12, 8, 7, 14]"),
    "features without sides": (pooled("mask_head", -1, 8), "pooled float32[-1, 8]"),
    "features of other channels": (pooled("mask_head", -1, 16, 14, 14), "pooled float32[-1, 8, 14, 14]"),
    "more proposals than the graphs have": (value("proposals", to=13), "rois float32[13, 4]"),
    "trunk.nb is gone": (removed("trunk.nb"), "trunk.nb"),
}


FOUR: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no canonical size": (value("canonical_size", to=None), "canonical_size"),
    "no rules for proposals": (value("rpn", to=None), "has no rpn"),
    "a rule too few": (value("rpn", to={"before_nms": 10}), "rpn.anchor_sizes"),
    "no rpn": (lambda bundle: drop(bundle, "rpn"), "rois"),
    "another P6": (value("graphs", "trunk", "outputs", to=[]), "p6 float32"),
    "features of other channels": (pooled("box_head", -1, 16, 7, 7), "pooled float32[-1, 8, 7, 7]"),
    "proposals beyond all memory": (value("proposals", to=2**31 - 1), "[2147483647, 3]"),
    "trunk.bin is gone": (removed("trunk.bin"), "trunk.bin"),
}


@pytest.mark.parametrize(("form", "name"), [*(("three", name) for name in THREE), *(("four", name) for name in FOUR)])
def test_damaged_bundles_of_other_forms(local: list[str], folder: Path, form: str, name: str) -> None:
    damage, named = {"three": THREE, "four": FOUR}[form][name]
    damage(folder / form)
    error = check(*native(local, *RUN, "--bundle", form, *PHOTO), exit_code=1)
    assert named in error["message"]


def test_a_runner_without_ncnn_says_so(local: list[str], folder: Path) -> None:
    code, lines = native(local, "--bundle", "four", "--json", *PHOTO)
    libraries = lines[0]["libraries"]
    if "ncnn" in libraries:
        pytest.skip(f"this runner was built with ncnn {libraries['ncnn']}")
    error = check(code, lines, exit_code=1)
    assert error["code"] == "missing-dependency"
    assert "without ncnn" in error["message"]


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("way", ["--image", "--folder"])
def test_damaged_images(local: list[str], folder: Path, way: str, name: str) -> None:
    Path("images").mkdir()
    Path("images/one.png").write_bytes(DAMAGED[name])
    error = check(*native(local, *RUN, way, "images/one.png" if way == "--image" else "images"), exit_code=1)
    assert error["code"] == "image-unreadable"
    assert "images/one.png" in error["message"]


def test_image_that_may_not_be_read(local: list[str], folder: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    Path("grey.png").chmod(0)
    check(*native(local, *RUN, "--image", "grey.png"), exit_code=1)


WORDS = {
    **{
        f"--{name} {word!r}": (f"--{name}", word)
        for name in ("warmup", "repeat", "threads", "instances", "top-k")
        for word in ("-1", "x", "1.5", "", "99999999999999999999")
    },
    **{f"--score {word!r}": ("--score", word) for word in ("-0.1", "1.1", "nan", "inf", "x", "")},
    **{f"--cores {word!r}": ("--cores", word) for word in ("-1", "x", "9999", "", "1,,2", "4096")},
    **{f"--power-mode {word!r}": ("--power-mode", word) for word in ("fast", "", "HIGH")},
    **{f"--engine {word!r}": ("--engine", word) for word in ("other", "null ", "../null")},
    **{f"--bundle {word!r}": ("--bundle", word) for word in ("", "none", "grey.png", "/", "\xff", "x" * 5000)},
    **{f"--image {word!r}": ("--image", word) for word in ("", "none.png", "/dev/null", "/", "x" * 5000, "bundle")},
    **{f"--save {word!r}": ("--save", word) for word in ("grey.png", "grey.png/below", "/proc/none", "x" * 5000)},
    "an option that there isn't": ("--none",),
    "a word too many": ("word",),
    "an option without its value": ("--score",),
    "an option's begin": ("--warm", "1"),
}


@pytest.mark.parametrize("name", WORDS)
def test_bad_options(local: list[str], folder: Path, name: str) -> None:
    check(*native(local, *RUN, *PHOTO, *WORDS[name]))


def test_no_words_at_all(local: list[str], folder: Path) -> None:
    check(*native(local, "--json"), exit_code=2)

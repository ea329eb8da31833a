"""The bundle: a folder that holds everything a device needs to run a model, and says what it is.

``manifest.json`` is the only contract between conversion, runtime and benchmark. This module reads, checks and writes
it; it needs neither paddle nor OpenCV.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import reprlib
import sys
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from edge_seg.errors import BundleError
from edge_seg.files import read_json, sha256, write_json

SCHEMA = 1
MANIFEST = "manifest.json"
SIGNATURE = "signature.json"
LETTERBOX, STRETCH = "letterbox-linear", "stretch-linear"
TWO_GRAPHS = ("detect", "mask")
THREE_GRAPHS = ("trunk", "box_head", "mask_head")
"""The two forms in which a model's own bundles hold it; between the three graphs, the runtime does the RoIAlign."""
FEATURES = ("p2", "p3", "p4", "p5")
# File names that a manifest may hold: `golden/image.png`, nothing that any system reads otherwise.
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,200}")

# What a manifest says freely (where it came from, what was measured) may be nested so deep; every reader can walk it.
DEEPEST = 16
_LONGEST = 99_968

# Cuts long values short, and deeply nested ones, which repr() itself can't get through.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80

T = TypeVar("T")


@dataclass(frozen=True)
class PreprocessSpec:
    """How a picture becomes the network's input, float32[1, 3, H, W].

    The picture is scaled by ``min(H/h, W/w)`` (sides rounded half up, at least 1; OpenCV's bilinear resize on uint8),
    its channels put in ``color`` order, each value mapped to ``(v / 255 - mean) / std``, and placed at the upper left;
    the rest is ``pad`` (after normalising, so 0.0 is the mean colour). With the rule "stretch-linear" the picture is
    scaled to exactly H x W instead.
    """

    size: tuple[int, int]
    color: str = "RGB"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    pad: float = 0.0
    resize: str = LETTERBOX


@dataclass(frozen=True)
class PostprocessSpec:
    """How the graphs' outputs become instances: per-class NMS on the host, then the best ``keep`` of all classes."""

    score_threshold: float = 0.05
    nms_iou: float = 0.5
    keep: int = 100
    mask_threshold: float = 0.5


@dataclass(frozen=True)
class TensorSpec:
    """A graph's input or output. -1 in ``shape`` is a size known only at run time."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class GraphSpec:
    """One graph: its files (name in the bundle -> sha256) and its tensors, in order."""

    files: dict[str, str]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class Golden:
    """A picture and the result expected for it, so that a device can test itself.

    ``instances`` is None when the expected result is the ordinary one, else the number of best boxes that were handed
    to the mask graph whatever their scores (an untrained model finds nothing otherwise).
    """

    files: dict[str, str]
    image: str
    expected: str
    instances: int | None = None


@dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` holds. ``engine`` and ``target`` decide which machine may load the graphs.

    ``canonical_size``: side of a box that is read from P4, pixels of the input; told where RoIAlign is the runtime's,
    because the graphs are :data:`THREE_GRAPHS`.
    """

    name: str
    model: str
    recipe: str
    engine: str
    engine_version: str
    target: str
    precision: str
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    preprocess: PreprocessSpec
    postprocess: PostprocessSpec
    proposals: int
    graphs: dict[str, GraphSpec]
    golden: Golden
    random_weights: bool
    source: dict[str, Any]
    optimizer: dict[str, Any] = field(default_factory=dict)
    verification: dict[str, Any] = field(default_factory=dict)
    canonical_size: int | None = None
    schema: int = SCHEMA


def from_plain(kind: type[T], value: Any, where: str) -> T:
    """Builds the dataclass ``kind`` from JSON values, naming the field that is missing, unknown or of another type."""
    return typing.cast(T, _convert(kind, value, where))


def _convert(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        _require(_is_plain(value), where, f"finite numbers, and at most {DEEPEST} levels of nesting", value)
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, where)
    if dataclasses.is_dataclass(kind):
        return _convert_dataclass(kind, value, where)
    if origin is tuple:
        _require(isinstance(value, list), where, "a list", value)
        if arguments[-1] is Ellipsis:
            return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
        _require(len(value) == len(arguments), where, f"{len(arguments)} values", value)
        return tuple(
            _convert(kind_i, item, f"{where}[{i}]")
            for i, (kind_i, item) in enumerate(zip(arguments, value, strict=True))
        )
    if origin is dict:
        _require(isinstance(value, dict), where, "an object", value)
        return {key: _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is float:
        # JSON may hold 1e999 (infinity once read) and whole numbers that no float can hold.
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
        _require(number, where, "a number", value)
        return float(value)
    _require(isinstance(value, kind) and not (kind is int and isinstance(value, bool)), where, kind.__name__, value)
    return value


def _convert_dataclass(kind: Any, value: Any, where: str) -> Any:
    _require(isinstance(value, dict), where, "an object", value)
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for name in value:
        if name not in fields:
            raise _invalid(f"{where}.{name}: unknown field")
    for name, f in fields.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in value:
            raise _invalid(f"{where}.{name}: missing")
    return kind(**{name: _convert(hints[name], item, f"{where}.{name}") for name, item in value.items()})


def _is_plain(value: Any, levels: int = DEEPEST) -> bool:
    if isinstance(value, (dict, list)):
        items = value.values() if isinstance(value, dict) else value
        return levels > 0 and all(_is_plain(item, levels - 1) for item in items)
    return not isinstance(value, float) or math.isfinite(value)


def _require(holds: bool, where: str, expected: str, value: Any) -> None:
    if not holds:
        raise _invalid(f"{where}: expected {expected}, found {_SHORT.repr(value)}")


def _invalid(message: str) -> BundleError:
    return BundleError(message, remedy="copy the bundle again or convert anew", code="manifest-invalid")


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose manifest was read and, by :func:`open_bundle`, whose files were checked."""

    path: Path
    manifest: Manifest

    @property
    def files(self) -> dict[str, str]:
        """Every file that the manifest names, and its sha256."""
        listed = [*(graph.files for graph in self.manifest.graphs.values()), self.manifest.golden.files]
        return {name: digest for files in listed for name, digest in files.items()}

    @property
    def model_bytes(self) -> int:
        """Size of all graph files, bytes."""
        return sum((self.path / name).stat().st_size for graph in self.manifest.graphs.values() for name in graph.files)

    @property
    def id(self) -> str:
        """sha256 of the manifest, which in turn holds the hash of every other file."""
        return sha256(self.path / MANIFEST)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes ``folder``'s manifest; the same manifest gives the same bytes."""
    write_json(folder / MANIFEST, dataclasses.asdict(manifest))


def open_bundle(path: Path) -> Bundle:
    """Reads a bundle's manifest and checks every file's hash, before any library sees them.

    Raises :class:`BundleError` when the folder or a file is missing, a hash doesn't match or the schema isn't ours.
    """
    bundle = _read(path)
    for _, fault in _faults(bundle):
        raise fault
    check_signed(bundle)
    return bundle


def examine_bundle(path: Path) -> tuple[Bundle, dict[str, BundleError]]:
    """Like :func:`open_bundle`, but goes on past files that are missing or altered, and returns their faults by name.

    Raises :class:`BundleError` when the manifest itself can't be used.
    """
    bundle = _read(path)
    return bundle, dict(_faults(bundle))


def own_files(folder: Path) -> set[str]:
    """Names of the files in ``folder`` that belong to a bundle there, however damaged; empty when there is none."""
    try:
        plain = read_json(folder / MANIFEST, BundleError)
        listed = [*(graph["files"] for graph in plain["graphs"].values()), plain["golden"]["files"]]
        return {MANIFEST, SIGNATURE, *(name for files in listed for name in files)}
    except (BundleError, KeyError, TypeError, AttributeError):
        return set()


def _read(path: Path) -> Bundle:
    """The bundle with its manifest checked, its files not."""
    remedy = "give the folder that `edge-seg convert --out` made"
    if not path.exists():
        raise BundleError(f"{path}: no such bundle", remedy=remedy, code="bundle-missing")
    if not path.is_dir():
        remedy += "; `edge-seg bundle unpack` makes it from a packed one"
        raise BundleError(f"{path}: a file, not a bundle folder", remedy=remedy, code="bundle-missing")
    file = path / MANIFEST
    if not file.is_file():
        raise BundleError(f"{path}: not a bundle: it holds no {MANIFEST}", remedy=remedy, code="bundle-missing")
    try:
        plain = read_json(file, BundleError)
    except BundleError as problem:
        raise _invalid(problem.message) from None
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if type(schema) is not int or schema != SCHEMA:
        raise BundleError(
            f"{file}: manifest schema {_SHORT.repr(schema)}, expected {SCHEMA}",
            remedy="convert the model again with this version of edge-seg, or use the version that made the bundle",
            code="manifest-schema",
        )
    manifest = from_plain(Manifest, plain, f"{file}: manifest")
    _check_values(manifest, f"{file}: manifest")
    return Bundle(path, manifest)


def _faults(bundle: Bundle) -> Iterator[tuple[str, BundleError]]:
    for name, expected in bundle.files.items():
        try:
            _check_file(bundle.path, name, expected)
        except BundleError as fault:
            yield name, fault


def check_signed(bundle: Bundle) -> None:
    """Raises :class:`BundleError` when the manifest was altered after it was signed, if it was.

    Needs no library for that; who signed it is for :mod:`edge_seg.bundles.sign`.
    """
    file = bundle.path / SIGNATURE
    if not os.path.lexists(file):
        return
    remedy = "get the bundle again from its maker; if it is yours, sign it again"
    signature = read_json(file, BundleError) if file.is_file() else None
    if not isinstance(signature, dict):
        raise BundleError(f"{file}: not a signature", remedy=remedy, code="signature-invalid")
    if signature.get("manifest_sha256", bundle.id) != bundle.id:
        message = f"{bundle.path}: the manifest isn't the one that was signed ({SIGNATURE})"
        raise BundleError(message, remedy=remedy, code="signature-invalid")


def _check_values(manifest: Manifest, where: str) -> None:
    """What the types don't say: ranges, and fields that must fit each other."""
    count, ids = len(manifest.classes), manifest.category_ids
    _require(count > 0, f"{where}.classes", "at least one class", manifest.classes)
    fits = len(ids) == count == len(set(ids))
    _require(fits, f"{where}.category_ids", f"{count} different ids, one for each class", ids)
    _require(manifest.proposals > 0, f"{where}.proposals", "at least 1", manifest.proposals)
    _require((manifest.canonical_size or 1) > 0, f"{where}.canonical_size", "at least 1", manifest.canonical_size)
    check_processing(manifest.preprocess, manifest.postprocess, where)
    for name, graph in manifest.graphs.items():
        _require(len(graph.files) > 0, f"{where}.graphs.{name}.files", "at least one file", graph.files)
    for name in (manifest.golden.image, manifest.golden.expected):
        _require(name in manifest.golden.files, f"{where}.golden.files", f"a hash of {name}", manifest.golden.files)


def check_processing(pre: PreprocessSpec, post: PostprocessSpec, where: str) -> None:
    """Raises :class:`BundleError` for a setting out of its range; ``where`` they stand, such as "config.json"."""
    valid = all(0 < side <= _LONGEST and side % 32 == 0 for side in pre.size)
    _require(valid, f"{where}.preprocess.size", f"multiples of 32 up to {_LONGEST}", pre.size)
    _require(pre.color in ("RGB", "BGR"), f"{where}.preprocess.color", "RGB or BGR", pre.color)
    _require(min(pre.std) > 0, f"{where}.preprocess.std", "values above 0", pre.std)
    rules = (LETTERBOX, STRETCH)
    _require(pre.resize in rules, f"{where}.preprocess.resize", " or ".join(rules), pre.resize)
    _require(post.keep > 0, f"{where}.postprocess.keep", "at least 1", post.keep)
    for name in ("score_threshold", "nms_iou", "mask_threshold"):
        value = getattr(post, name)
        _require(0.0 <= value <= 1.0, f"{where}.postprocess.{name}", "a number between 0 and 1", value)


def _check_file(folder: Path, name: str, expected: str) -> None:
    file = folder / name
    if not _stays_inside(folder, name):
        raise _invalid(f"{folder / MANIFEST}: file name {name!r} leads out of the bundle")
    remedy = "copy the bundle again or convert anew"
    if not file.is_file():
        what = "not a plain file" if os.path.lexists(file) else "missing"
        raise BundleError(f"{file}: {what}", remedy=remedy, code="file-missing")
    try:
        found = sha256(file)
    except OSError as problem:
        raise BundleError(f"{file}: can't be read: {problem.strerror}", remedy=remedy, code="file-missing") from None
    if found != expected:
        raise BundleError(
            f"{file}: altered or damaged ({file.stat().st_size} bytes, sha256 {found[:12]}…, "
            f"expected {expected[:12]}…)",
            remedy=remedy,
            code="hash-mismatch",
        )


def _stays_inside(folder: Path, name: str) -> bool:
    """Whether ``name`` is a plain relative path, and no symbolic link on its way leads elsewhere."""
    if not PLAIN_NAME.fullmatch(name) or ".." in name.split("/"):
        return False
    try:
        return (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links that go round in circles
        return False

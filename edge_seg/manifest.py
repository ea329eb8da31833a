"""The manifest of a bundle: what its graphs, tensors, preprocessing and postprocessing are.

It needs neither paddle nor OpenCV nor numpy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from edge_seg.errors import BundleError
from edge_seg.plain import Refuse, require

SCHEMA = 1


LETTERBOX, STRETCH = "letterbox-linear", "stretch-linear"


TWO_GRAPHS = ("detect", "mask")


THREE_GRAPHS = ("trunk", "box_head", "mask_head")


CONVOLUTION_GRAPHS = ("trunk", "rpn", "box_head", "mask_head")
"""The forms in which a model's own bundles hold it.

Between three graphs, the runtime does the RoIAlign. Four hold nothing but convolutions and matrix products: proposals,
box decoding, softmax and sigmoid are the runtime's too, so that all engines decide alike."""


FEATURES = ("p2", "p3", "p4", "p5")


_LONGEST = 99_968


@dataclass(frozen=True)
class PreprocessSpec:
    """How an image becomes the network's input, float32[1, 3, H, W].

    The image is scaled by ``min(H/h, W/w)`` (sides rounded half up, at least 1; OpenCV's bilinear resize on uint8),
    its channels put in ``color`` order, each value mapped to ``(v / 255 - mean) / std``, and placed at the upper left;
    the rest is ``pad`` (after normalising, so 0.0 is the mean colour). With the rule "stretch-linear" the image is
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
class ProposalSpec:
    """How the outputs of :data:`CONVOLUTION_GRAPHS` become boxes, see :mod:`edge_seg.runtime.proposals`.

    ``anchor_sizes``: square root of an anchor's area, input pixels, for P2 to P6. ``before_nms``: boxes of each level
    that enter NMS at ``nms_iou``. ``box_weights``: what the box head's deltas (x, y, width, height) are divided by.
    """

    anchor_sizes: tuple[float, ...]
    before_nms: int
    nms_iou: float
    box_weights: tuple[float, float, float, float]


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
    """An image and the result expected for it, so that a device can test itself.

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
    because the graphs are :data:`THREE_GRAPHS` or :data:`CONVOLUTION_GRAPHS`. ``rpn``: told with the latter.
    ``version``: which of two bundles is newer, set when it is signed; a board takes none that is older than the one
    that it runs.
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
    rpn: ProposalSpec | None = None
    schema: int = SCHEMA
    version: int = 0


def invalid(message: str) -> BundleError:
    """The error for a manifest that says what can't be."""
    return BundleError(message, remedy="copy the bundle again or convert anew", code="manifest-invalid")


def check_values(manifest: Manifest, where: str) -> None:
    """What the types don't say: ranges, and fields that must fit each other."""
    need = partial(require, refuse=invalid)
    count, ids = len(manifest.classes), manifest.category_ids
    need(count > 0, f"{where}.classes", "at least one class", manifest.classes)
    fits = len(ids) == count == len(set(ids))
    need(fits, f"{where}.category_ids", f"{count} different ids, one for each class", ids)
    need(manifest.proposals > 0, f"{where}.proposals", "at least 1", manifest.proposals)
    need((manifest.canonical_size or 1) > 0, f"{where}.canonical_size", "at least 1", manifest.canonical_size)
    need(0 <= manifest.version < 2**53, f"{where}.version", "0 or more", manifest.version)
    check_processing(manifest.preprocess, manifest.postprocess, where)
    if manifest.rpn:
        _check_rpn(manifest.rpn, f"{where}.rpn")
    for name, graph in manifest.graphs.items():
        need(len(graph.files) > 0, f"{where}.graphs.{name}.files", "at least one file", graph.files)
    for name in (manifest.golden.image, manifest.golden.expected):
        need(name in manifest.golden.files, f"{where}.golden.files", f"a hash of {name}", manifest.golden.files)


def _check_rpn(rpn: ProposalSpec, where: str) -> None:
    need = partial(require, refuse=invalid)
    sizes = rpn.anchor_sizes
    need(len(sizes) == 5 and min(sizes) > 0, f"{where}.anchor_sizes", "five numbers above 0", sizes)
    need(rpn.before_nms > 0, f"{where}.before_nms", "at least 1", rpn.before_nms)
    need(0.0 <= rpn.nms_iou <= 1.0, f"{where}.nms_iou", "a number between 0 and 1", rpn.nms_iou)
    need(min(rpn.box_weights) > 0, f"{where}.box_weights", "numbers above 0", rpn.box_weights)


def check_processing(pre: PreprocessSpec, post: PostprocessSpec, where: str, refuse: Refuse = invalid) -> None:
    """Raises ``refuse(message)`` for a setting out of its range; ``where`` they stand, such as "config.json"."""
    need = partial(require, refuse=refuse)
    valid = all(0 < side <= _LONGEST and side % 32 == 0 for side in pre.size)
    need(valid, f"{where}.preprocess.size", f"multiples of 32 up to {_LONGEST}", pre.size)
    need(pre.color in ("RGB", "BGR"), f"{where}.preprocess.color", "RGB or BGR", pre.color)
    need(min(pre.std) > 0, f"{where}.preprocess.std", "values above 0", pre.std)
    rules = (LETTERBOX, STRETCH)
    need(pre.resize in rules, f"{where}.preprocess.resize", " or ".join(rules), pre.resize)
    need(post.keep > 0, f"{where}.postprocess.keep", "at least 1", post.keep)
    for name in ("score_threshold", "nms_iou", "mask_threshold"):
        value = getattr(post, name)
        need(0.0 <= value <= 1.0, f"{where}.postprocess.{name}", "a number between 0 and 1", value)

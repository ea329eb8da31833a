"""Runs another model than ours and says the runner's lines: ``python -m bench.peer_runner PEER --threads N …``.

``PEER`` is ``torchvision`` (its Mask R-CNN, ResNet-50 and FPN, random weights, as many objects as asked for) or
an ONNX file that any toolkit exported. Each name on standard input is an image that is run once. ``detect`` is the time
of the network with whatever it holds, ``nms`` and ``mask`` are 0. What an ONNX file needs before and after it isn't
known here: ``pre`` is a letterbox, ``post`` is 0.

It may run in an environment of its own, so nothing is imported from edge_seg but what reads images.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter_ns, process_time_ns
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from edge_seg.errors import EdgeSegError, EngineError, MissingDependencyError, UsageError
from edge_seg.install import pip_install

SEED = 1
TORCHVISION = "torchvision"
Stages = dict[str, int]
Run = Callable[[NDArray[np.uint8]], tuple[int, Stages]]
"""Runs an image uint8[h, w, 3] BGR; the number of objects (0 where it isn't known) and the ns of pre, detect, post."""


def open_peer(peer: str, *, size: int, threads: int, instances: int, proposals: int) -> tuple[dict[str, Any], Run]:
    """What the peer is, for people, and what runs it. Raises EdgeSegError when it can't be had here."""
    if peer == TORCHVISION:
        return _torchvision(size, threads, instances, proposals)
    return _onnx(Path(peer), size, threads)


def _torchvision(size: int, threads: int, instances: int, proposals: int) -> tuple[dict[str, Any], Run]:
    torch, torchvision = _library("torch"), _library("torchvision")
    torch.manual_seed(SEED)
    torch.set_num_threads(threads)
    model = torchvision.models.detection.maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        min_size=size,
        max_size=size,
        rpn_pre_nms_top_n_test=1000,
        rpn_post_nms_top_n_test=proposals,
        box_score_thresh=0.0,
        box_detections_per_img=instances,
    ).eval()

    def run(image: NDArray[np.uint8]) -> tuple[int, Stages]:
        with torch.inference_mode():
            begin = perf_counter_ns()
            # By itself it would fill only so much of the square as the image does, and do less than ours.
            square = _letterbox(image, size, size, np.float32).transpose(2, 0, 1)
            images, _ = model.transform([torch.from_numpy(np.ascontiguousarray(square))])
            ready = perf_counter_ns()
            features = model.backbone(images.tensors)
            rois, _ = model.rpn(images, features)
            found, _ = model.roi_heads(features, rois, images.image_sizes)
            detected = perf_counter_ns()
            (whole,) = model.transform.postprocess(found, images.image_sizes, [(size, size)])
            end = perf_counter_ns()
        return len(whole["boxes"]), {"pre": ready - begin, "detect": detected - ready, "post": end - detected}

    parameters = sum(values.numel() for values in model.parameters())
    what = f"torchvision's Mask R-CNN, ResNet50-FPN, {parameters / 1e6:.1f} M parameters, random weights"
    versions = f"{torchvision.__version__}, torch {torch.__version__}"
    return {"name": TORCHVISION, "version": versions, "what": what, "size": [size, size]}, run


def _onnx(file: Path, size: int, threads: int) -> tuple[dict[str, Any], Run]:
    if not file.is_file():
        raise UsageError(
            f"{file}: no such ONNX file", remedy=f"give a file that another toolkit exported, or {TORCHVISION}"
        )
    library = _library("onnxruntime")
    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    try:
        session = library.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # onnxruntime raises every kind
        said = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise EngineError(
            f"{file}: ONNX Runtime {library.__version__} can't load it: {said}",
            remedy="export it again, for an operator set that this version knows",
            code="engine-failed",
        ) from None
    given = session.get_inputs()
    if len(given) != 1 or len(given[0].shape) != 4 or given[0].type not in _TYPES:
        listed = "; ".join(f"{one.name} {one.type}{one.shape}" for one in given)
        raise EngineError(
            f"{file}: its inputs are {listed}; expected one image, float32, float16 or uint8, of four dimensions",
            remedy="export it with the image as its only input",
            code="engine-input",
        )
    name, dtype = given[0].name, _TYPES[given[0].type]
    shape, channels_last = _shape(file, given[0].shape, size)
    height, width = shape[1:3] if channels_last else shape[2:]

    def run(image: NDArray[np.uint8]) -> tuple[int, Stages]:
        begin = perf_counter_ns()
        blob = _letterbox(image, height, width, dtype)
        blob = blob[None] if channels_last else np.ascontiguousarray(blob.transpose(2, 0, 1)[None])
        ready = perf_counter_ns()
        session.run(None, {name: blob})
        return 0, {"pre": ready - begin, "detect": perf_counter_ns() - ready, "post": 0}

    return {
        "name": "onnxruntime",
        "version": library.__version__,
        "what": f"{file.name}, {file.stat().st_size / 1e6:.1f} MB, the network alone",
        "size": [height, width],
    }, run


_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


def _shape(file: Path, declared: Sequence[Any], size: int) -> tuple[list[int], bool]:
    """The input's shape with its free sides set, and whether channels come last."""
    last = declared[3] == 3 and declared[1] != 3
    image = slice(1, 3) if last else slice(2, 4)
    shape = [side if isinstance(side, int) and side > 0 else None for side in declared]
    sides = [size if side is None else side for side in shape[image]]
    channels = shape[3] if last else shape[1]
    if channels not in (3, None) or shape[0] not in (1, None):
        raise EngineError(
            f"{file}: its input is {list(declared)}; expected one image of three channels",
            remedy="export it for a batch of 1 and three channels",
            code="engine-input",
        )
    return ([1, *sides, 3] if last else [1, 3, *sides]), last


def _letterbox(image: NDArray[np.uint8], height: int, width: int, dtype: Any) -> NDArray[Any]:
    """The image scaled into height x width, its own shape kept, RGB, 0 to 1 (uint8: 0 to 255): [height, width, 3]."""
    import cv2

    scale = min(height / image.shape[0], width / image.shape[1])
    h, w = (min(limit, max(1, round(side * scale))) for side, limit in zip(image.shape, (height, width), strict=False))
    whole = np.full((height, width, 3), 114, np.uint8)
    whole[:h, :w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)[:, :, ::-1]
    return whole if dtype == np.uint8 else (whole.astype(np.float32) / 255).astype(dtype)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise MissingDependencyError(
            f"this peer needs the Python library {name}, which can't be imported by {sys.executable}: {problem}",
            remedy=f"install it with: {pip_install('peers')}; or name the Python of an environment that has it with"
            " --peer-python",
        ) from None


def own_lines() -> TextIO:
    """Standard output for the protocol alone: what libraries print goes to standard error."""
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return lines


def serve(options: argparse.Namespace, say: Callable[..., None]) -> None:
    """Answers each image's name with a sample, as a runner does for ``--images -``."""
    from edge_seg.runtime.image import read_image

    say("hello", runner="peer", version="1")
    begin = perf_counter_ns()
    peer, run = open_peer(
        options.peer,
        size=options.size,
        threads=options.threads,
        instances=options.instances,
        proposals=options.proposals,
    )
    say("load", ns=perf_counter_ns() - begin, engine=peer)
    for number, line in enumerate(sys.stdin):
        file = line.rstrip("\n")
        image = read_image(Path(file))
        if number == 0:
            run(image)
        start_ns, cpu = perf_counter_ns(), process_time_ns()
        count, stages = run(image)
        total, cpu_ns = perf_counter_ns() - start_ns, process_time_ns() - cpu
        ns = {"nms": 0, "mask": 0, **stages, "total": total}
        say("sample", image=file, repeat=number, instances=count, ns=ns, cpu_ns=cpu_ns, start_ns=start_ns)


def main() -> int:
    """Serves, and turns what goes wrong into an ``error`` line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer")
    for name, value in (("size", 640), ("threads", 1), ("instances", 20), ("proposals", 100)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    lines = own_lines()

    def say(kind: str, **values: Any) -> None:
        lines.write(json.dumps({"type": kind, **values}) + "\n")
        lines.flush()

    try:
        serve(options, say)
    except EdgeSegError as error:
        say("error", **error.as_json())
        return error.exit_code
    except Exception as problem:  # a peer's library raises every kind
        say("error", code="engine-failed", message=f"{type(problem).__name__}: {problem}", remedy="")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

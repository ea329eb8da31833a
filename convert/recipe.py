"""What to convert to: named, frozen descriptions of an engine, a machine and a precision."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from edge_seg.errors import UsageError
from edge_seg.manifest import CONVOLUTION_GRAPHS, THREE_GRAPHS, TWO_GRAPHS


@dataclass(frozen=True)
class Recipe:
    """One kind of bundle.

    ``host_check`` names the recipe whose bundle the host runs to check this one: itself where the host has the engine,
    else one for x86 or for the CPU (same graphs, same tools, other kernels). ``places`` is the hardware
    in the words of the tool or engine: Paddle Lite's valid places, ONNX Runtime's providers. ``precision``: fp32, fp16
    and bf16 (computed in half precision or bfloat16), w8 and w16 (weights stored as integers, computed in fp32), int8
    (convolutions computed in integers). ``costs`` and ``needs`` are for people; ``requires`` says to programs, in the
    manifest, what Paddle Lite's library must have been built with: one without it aborts. ``graphs`` are the names of
    the model's graphs:
    three, with RoIAlign in the runtime, for Paddle Lite, where that takes a fifth off the instructions on Arm
    (docs/native-speed.md), and for CPUs under oneDNN, where it takes up to a sixth (640x640) off the time; four, of
    convolutions alone, for ncnn, which has no detection operators; else two.
    """

    name: str
    summary: str
    engine: str
    target: str
    precision: str
    host_check: str
    places: str = ""
    costs: str = ""
    needs: str = ""
    requires: tuple[str, ...] = ()
    graphs: tuple[str, ...] = TWO_GRAPHS

    def checked_by(self) -> Recipe:
        """The recipe of the bundle that the host runs to check this one's, with the same graphs."""
        return dataclasses.replace(find_recipe(self.host_check), graphs=self.graphs)

    @property
    def quantization(self) -> str:
        """Which rounded form of the graphs it starts from: w8, w16, int8; "" for the graphs as they were exported."""
        return self.precision if self.precision in ("w8", "w16", "int8") else ""


_ARM_LIBRARY = "Paddle Lite 2.13rc0 for Arm, extra kernels in"
_HOST = "nothing more"
_IMAGES = "calibration images, or a run of `edge-seg train --qat`"
_SIZE = "the size of the weights"
_W8, _W16 = "a quarter of the size; boxes and scores move a little", "half the size; nothing else to be noticed"
_INT8 = "a quarter of the size; up to a point of mask mAP"


def _lite(target: str, precision: str, summary: str, costs: str, needs: str, **more: Any) -> Recipe:
    name, host_check = f"{target}-{precision}", f"x86-{precision}"
    settings: dict[str, Any] = {"places": target, "requires": ("extra",), "graphs": THREE_GRAPHS, **more}
    return Recipe(
        name,
        summary,
        "paddle-lite",
        target,
        precision,
        settings.pop("host_check", host_check),
        costs=costs,
        needs=needs,
        **settings,
    )


def _gpu(precision: str, summary: str, costs: str) -> Recipe:
    needs = "paddlepaddle-gpu 2.6.2, a GPU that it has code for"
    return Recipe(f"gpu-{precision}", summary, "paddle-inference", "gpu", precision, "cpu-fp32", "", costs, needs)


def _onnx(name: str, target: str, places: str, summary: str, needs: str) -> Recipe:
    return Recipe(name, summary, "onnxruntime", target, "fp32", "onnx-fp32", places, _SIZE, needs)


def _ncnn(precision: str, summary: str, costs: str, needs: str) -> Recipe:
    return Recipe(
        f"ncnn-{precision}",
        summary,
        "ncnn",
        "cpu",
        precision,
        "ncnn-fp32",
        costs=costs,
        needs=needs,
        graphs=CONVOLUTION_GRAPHS,
    )


_FP16_ARM = f"{_ARM_LIBRARY}, built with fp16; a CPU with Arm v8.2 fp16"
_OPENCL = f"{_ARM_LIBRARY}, built with OpenCL; a GPU with its driver"

_RECIPES = (
    _lite("arm", "fp32", "Paddle Lite on Arm boards and phones", _SIZE, _ARM_LIBRARY),
    _lite(
        "arm",
        "fp16",
        "Paddle Lite on Arm v8.2, computed in half precision",
        "the size of fp32; about three digits are left",
        _FP16_ARM,
        host_check="x86-fp32",
        requires=("extra", "fp16"),
    ),
    _lite("arm", "w16", "Paddle Lite on Arm, weights stored in 16 bits, computed in fp32", _W16, _ARM_LIBRARY),
    _lite("arm", "w8", "Paddle Lite on Arm, weights stored in 8 bits, computed in fp32", _W8, _ARM_LIBRARY),
    _lite("arm", "int8", "Paddle Lite on Arm, computed in integers", _INT8, f"{_ARM_LIBRARY}; {_IMAGES}"),
    Recipe(
        "arm-opencl",
        "Paddle Lite on the GPU of an Arm board or phone",
        "paddle-lite",
        "arm",
        "fp16",
        "x86-fp32",
        "opencl,arm",
        "the size of fp32; about three digits are left",
        _OPENCL,
        ("extra", "opencl"),
        THREE_GRAPHS,
    ),
    _lite("x86", "fp32", "Paddle Lite on this host, as a check; slow", _SIZE, _HOST),
    _lite("x86", "w16", "the host check of arm-w16", _W16, _HOST),
    _lite("x86", "w8", "the host check of arm-w8", _W8, _HOST),
    _lite("x86", "int8", "the host check of arm-int8: the same integers, computed in fp32", _INT8, _IMAGES),
    Recipe(
        "cpu-fp32",
        "Paddle Inference with oneDNN on x86 CPUs",
        "paddle-inference",
        "cpu",
        "fp32",
        "cpu-fp32",
        costs=_SIZE,
        needs=_HOST,
        graphs=THREE_GRAPHS,
    ),
    Recipe(
        "cpu-int8",
        "Paddle Inference with oneDNN, convolutions computed in integers",
        "paddle-inference",
        "cpu",
        "int8",
        "cpu-int8",
        costs="the size of fp32; up to a point of mask mAP",
        needs=_IMAGES,
        graphs=THREE_GRAPHS,
    ),
    Recipe(
        "cpu-bf16",
        "Paddle Inference with oneDNN, computed in bfloat16",
        "paddle-inference",
        "cpu",
        "bf16",
        "cpu-bf16",
        costs="the size of fp32; some tenths of a point of mask mAP",
        needs="an x86 CPU with AMX or AVX512_BF16",
        graphs=THREE_GRAPHS,
    ),
    _gpu("fp32", "Paddle Inference on GPUs", _SIZE),
    _gpu("fp16", "Paddle Inference on GPUs, in half precision", "the size of fp32; about three digits are left"),
    _ncnn("fp32", "ncnn on CPUs, Arm above all; from wheels for x86-64 and aarch64", _SIZE, "ncnn"),
    _ncnn(
        "fp16",
        "ncnn on Arm v8.2, convolutions computed in half precision; elsewhere in fp32",
        "half the size but for the box head; about three digits are left",
        "ncnn; for its speed, a CPU with Arm v8.2 fp16",
    ),
    _onnx("onnx-fp32", "cpu", "", "ONNX Runtime on CPUs, x86 and Arm", "onnxruntime"),
    _onnx("onnx-cuda-fp32", "gpu", "cuda", "ONNX Runtime on GPUs", "onnxruntime-gpu and its CUDA"),
    _onnx(
        "onnx-tensorrt-fp32",
        "gpu",
        "tensorrt,cuda",
        "ONNX Runtime with TensorRT on GPUs",
        "onnxruntime-gpu, its CUDA and TensorRT",
    ),
)
RECIPES = {recipe.name: recipe for recipe in _RECIPES}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name; :class:`UsageError`, listing the choices, when there is none."""
    if name not in RECIPES:
        raise UsageError(f"no recipe named {name!r}", remedy=f"choose: {', '.join(RECIPES)}", code="unknown-recipe")
    return RECIPES[name]


def parse(names: str) -> tuple[Recipe, ...]:
    """The recipes of a comma-separated list, each once, in the order given."""
    recipes = tuple(find_recipe(name.strip()) for name in names.split(","))
    if len(set(recipes)) < len(recipes):
        raise UsageError(f"--recipe {names}: a recipe is named twice", remedy="name each recipe once")
    return recipes

"""What to convert to: named, frozen descriptions of an engine, a machine and a precision."""

from __future__ import annotations

from dataclasses import dataclass

from edge_seg.errors import UsageError


@dataclass(frozen=True)
class Recipe:
    """One kind of bundle.

    ``witness`` names the recipe whose bundle the host runs to check this one: itself where the host has the engine,
    the x86 twin for Arm (same graphs, same ``opt``, other kernels). ``places`` is the hardware in the words of the tool
    or engine: Paddle Lite's valid places, ONNX Runtime's providers.
    """

    name: str
    summary: str
    engine: str
    target: str
    precision: str
    witness: str
    places: str = ""


_RECIPES = (
    Recipe("arm-fp32", "Paddle Lite on Arm boards and phones", "paddle-lite", "arm", "fp32", "x86-fp32", places="arm"),
    Recipe("x86-fp32", "Paddle Lite on this host, as a check", "paddle-lite", "x86", "fp32", "x86-fp32", places="x86"),
    Recipe("cpu-fp32", "Paddle Inference with oneDNN on x86 CPUs", "paddle-inference", "cpu", "fp32", "cpu-fp32"),
    Recipe("onnx-fp32", "ONNX Runtime on CPUs, x86 and Arm", "onnxruntime", "cpu", "fp32", "onnx-fp32"),
    Recipe("onnx-cuda-fp32", "ONNX Runtime on GPUs", "onnxruntime", "gpu", "fp32", "onnx-fp32", places="cuda"),
    Recipe(
        "onnx-tensorrt-fp32",
        "ONNX Runtime with TensorRT on GPUs",
        "onnxruntime",
        "gpu",
        "fp32",
        "onnx-fp32",
        places="tensorrt,cuda",
    ),
)
RECIPES = {recipe.name: recipe for recipe in _RECIPES}


def find(name: str) -> Recipe:
    """The recipe of that name; :class:`UsageError`, listing the choices, when there is none."""
    if name not in RECIPES:
        raise UsageError(f"no recipe named {name!r}", remedy=f"choose: {', '.join(RECIPES)}", code="unknown-recipe")
    return RECIPES[name]


def parse(names: str) -> tuple[Recipe, ...]:
    """The recipes of a comma-separated list, each once, in the order given."""
    recipes = tuple(find(name.strip()) for name in names.split(","))
    if len(set(recipes)) < len(recipes):
        raise UsageError(f"--recipe {names}: a recipe is named twice", remedy="name each recipe once")
    return recipes

"""What the samples for the doctor are made of, and how one is exported."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge_seg.paddle_env import nn, paddle

F = nn.functional
Array = np.ndarray
Make = Callable[[np.random.Generator], Array]


def real(*shape: int) -> Make:
    """Values on both sides of zero."""
    return lambda rng: rng.uniform(-2, 2, shape).astype("float32")


def share(*shape: int) -> Make:
    """Values between 0.05 and 0.95, none near another's."""
    return lambda rng: rng.permutation(np.linspace(0.05, 0.95, int(np.prod(shape)))).reshape(shape).astype("float32")


def whole(dtype: str, *values: int) -> Make:
    """These values."""
    return lambda rng: np.array(values, dtype)


def boxes(rows: int) -> Make:
    """Boxes x0 < x1, y0 < y1 within 64 pixels."""

    def make(rng: np.random.Generator) -> Array:
        corner = rng.uniform(0, 40, (rows, 2))
        return np.concatenate([corner, corner + rng.uniform(4, 24, (rows, 2))], axis=1).astype("float32")

    return make


@dataclass(frozen=True)
class Sample:
    """``build(layers, *inputs)`` gives the outputs; ``layers`` has the attributes that ``layers`` here make.

    ``open_sides``: the input's sides that the export leaves open, by number of the input. ``weight`` is a parameter of
    value 1 that nearly every sample multiplies by: Paddle Lite wants one.
    """

    build: Callable[..., Any]
    inputs: tuple[Make, ...]
    layers: dict[str, Callable[[], Any]] = field(default_factory=dict)
    open_sides: dict[int, tuple[int, ...]] = field(default_factory=dict)


SAMPLES: dict[str, Sample] = {}
X = real(1, 8, 16, 16)


def add(name: str, build: Callable[..., Any], *inputs: Make, sides: Any = None, **layers: Callable[[], Any]) -> None:
    """Enters a sample."""
    SAMPLES[name] = Sample(build, inputs, layers, sides or {})


def layer(name: str, make: Callable[[], Any], *inputs: Make) -> None:
    """Enters a sample of one layer."""
    add(name, lambda s, x: s.layer(x) * s.weight, *(inputs or (X,)), layer=make)


def function(prefix: str, *functions: Callable[..., Any], **options: Any) -> None:
    """Enters a sample for each of the functions of one tensor; bool is cast."""
    for one in functions:
        add(f"{prefix}_{one.__name__}", lambda s, x, one=one: _as_float(one(x * s.weight, **options)), X)


def _as_float(x: Any) -> Any:
    return x if x.dtype == paddle.float32 else paddle.cast(x, "float32")


class First:
    """The outputs of a recurrent layer, without its states."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer

    def __call__(self, x: Any) -> Any:
        return self._layer(x)[0]


def export(name: str, folder: Path) -> None:
    """Writes the sample's model, inputs and expected outputs."""
    sample = SAMPLES[name]
    rng = np.random.default_rng(sum(name.encode()))
    inputs = [make(rng) for make in sample.inputs]
    program, startup = paddle.static.Program(), paddle.static.Program()
    program.random_seed = startup.random_seed = 1
    with (
        paddle.utils.unique_name.guard(),
        paddle.static.program_guard(program, startup),
        paddle.static.scope_guard(paddle.static.Scope()),
    ):
        fed = [_feed(sample, number, array) for number, array in enumerate(inputs)]
        layers = types.SimpleNamespace(**{key: make() for key, make in sample.layers.items()})
        for one in vars(layers).values():
            if isinstance(one, nn.Layer):
                one.eval()
        one = nn.initializer.Constant(1.0)
        layers.weight = paddle.create_parameter([1], "float32", default_initializer=one)
        made = sample.build(layers, *fed)
        outputs = list(made) if isinstance(made, (list, tuple)) else [made]
        executor = paddle.static.Executor(paddle.CPUPlace())
        executor.run(startup)
        feed = {variable.name: array for variable, array in zip(fed, inputs, strict=True)}
        tested = program.clone(for_test=True)
        expected = [np.array(v) for v in executor.run(tested, feed, outputs, return_numpy=False)]
        paddle.static.save_inference_model(str(folder / name), fed, outputs, executor, program=program)
    arrays = {f"in{i}": array for i, array in enumerate(inputs)} | {f"out{i}": a for i, a in enumerate(expected)}
    np.savez(folder / f"{name}.npz", **arrays)


def _feed(sample: Sample, number: int, array: Array) -> Any:
    shape = [-1 if side in sample.open_sides.get(number, ()) else n for side, n in enumerate(array.shape)]
    return paddle.static.data(f"x{number}", shape, str(array.dtype))

"""The file that PaddleDetection (``infer_cfg.yml``) or PaddleX (``model.yml``) puts beside a model that it exports.

It says what the model is, how images are made ready for it, and what its classes are called.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.errors import ConversionError
from edge_seg.manifest import PreprocessSpec
from edge_seg.yaml_file import read_yaml

INFER_CFG, MODEL_YML = "infer_cfg.yml", "model.yml"
_REMEDY = "export the model again, or mend the file; `edge-seg convert FILE --raw` converts the model without it"
_MULTIPLE = 32
# Steps that change nothing: both libraries list them, or the exported model does them itself.
_IDLE = ("Permute", "PadStride", "PadBatch", "Padding", "Decode", "ArrangeDetector", "BatchPadding")


@dataclass(frozen=True)
class ImportedConfig:
    """``size``: height and width that images are made to fit, None where the file leaves it open.

    ``made_by``: "PaddleDetection" or "PaddleX"; ``architecture``: its own word for what the model is. ``stretch``: the
    image is resized to exactly that size. ``mean`` and ``std`` are of values between 0 and 1.
    """

    file: Path
    made_by: str
    architecture: str
    masks: bool
    classes: tuple[str, ...]
    size: tuple[int, int] | None
    stretch: bool
    color: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def is_mask_rcnn(self) -> bool:
        return "RCNN" in self.architecture.replace("_", "").upper() and self.masks

    def preprocess(self, size: tuple[int, int]) -> PreprocessSpec:
        """For an input of ``size``."""
        resize = "stretch-linear" if self.stretch else PreprocessSpec.resize
        return PreprocessSpec(size, color=self.color, mean=self.mean, std=self.std, resize=resize)


def find_config(path: Path) -> Path | None:
    """The file beside the model at ``path`` (its program, or its folder); None where there is none."""
    folder = path if path.is_dir() else path.parent
    return next((folder / name for name in (INFER_CFG, MODEL_YML) if (folder / name).is_file()), None)


def read_config(file: Path) -> ImportedConfig:
    """Raises :class:`ConversionError` when it isn't such a file, or asks for something that the runtime can't do."""
    content = _load(file)
    try:
        config = _paddledetection(file, content) if file.name == INFER_CFG else _paddlex(file, content)
        if min(config.std) <= 0:
            raise ValueError(f"std {config.std} of values from 0 to 1: expected above 0")
        if config.color not in ("RGB", "BGR"):
            raise ValueError(f"TransformsMode {config.color!r}: expected RGB or BGR")
        return config
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError) as problem:
        said = f"{problem} is missing" if isinstance(problem, KeyError) else str(problem)
        raise _unusable(file, said) from None


def _load(file: Path) -> Mapping[str, Any]:
    content = read_yaml(file, ConversionError, _REMEDY, "config-invalid")
    if not isinstance(content, dict):
        raise _unusable(file, "no settings by name")
    return content


def _unusable(file: Path, said: str) -> ConversionError:
    return ConversionError(f"{file}: can't be used: {said}", remedy=_REMEDY, code="config-invalid")


def _paddledetection(file: Path, content: Mapping[str, Any]) -> ImportedConfig:
    steps = {str(step["type"]): step for step in map(_settings, _list(content["Preprocess"]))}
    _refuse_unknown(steps, ("Resize", "NormalizeImage"))
    resize, normalize = steps.get("Resize"), steps.get("NormalizeImage")
    mean, std = _normal(normalize or {"norm_type": "none"})
    return ImportedConfig(
        file,
        "PaddleDetection",
        str(content["arch"]),
        bool(content.get("mask", False)),
        _classes(content["label_list"]),
        _pair("target_size", resize["target_size"]) if resize else None,
        bool(resize) and not (resize or {}).get("keep_ratio", True),
        "RGB",
        mean,
        std,
    )


def _normal(step: Mapping[str, Any]) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and deviation of values between 0 and 1; the file's are of 0 to 255 unless ``is_scale``."""
    unit = 1.0 if step.get("is_scale", True) else 255.0
    if step.get("norm_type", "mean_std") == "none":
        return (0.0, 0.0, 0.0), (1.0 / unit,) * 3
    mean, std = (_three(name, step[name]) for name in ("mean", "std"))
    return _three("mean", [value / unit for value in mean]), _three("std", [value / unit for value in std])


def _paddlex(file: Path, content: Mapping[str, Any]) -> ImportedConfig:
    items = (pair for item in _list(content["Transforms"]) for pair in _settings(item).items())
    steps = {name: _settings(step or {}) for name, step in items}
    _refuse_unknown(steps, ("Resize", "ResizeByShort", "Normalize"))
    normal = steps.get("Normalize", {})
    if any(value != 0 for value in _several("min_val", normal.get("min_val", 0))):
        raise ValueError(f"Normalize with min_val {normal['min_val']}")
    # Version 1 divides by max_val, version 2 by it as well unless is_scale says otherwise.
    unit = [value / 255.0 for value in _several("max_val", normal.get("max_val", 255.0))]
    if not normal.get("is_scale", True):
        unit = [1 / 255.0] * 3
    mean, std = (_three(name, normal.get(name, default)) for name, default in (("mean", [0.5] * 3), ("std", [0.5] * 3)))
    model = str(content["Model"])
    size, stretch = _paddlex_size(content, steps)
    return ImportedConfig(
        file,
        "PaddleX",
        model,
        "mask" in model.lower(),
        _classes(content["_Attributes"]["labels"]),
        size,
        stretch,
        str(content.get("TransformsMode", "RGB")),
        _three("mean", [m * u for m, u in zip(mean, unit, strict=True)]),
        _three("std", [s * u for s, u in zip(std, unit, strict=True)]),
    )


def _paddlex_size(content: Mapping[str, Any], steps: Mapping[str, Any]) -> tuple[tuple[int, int] | None, bool]:
    fixed = content["_Attributes"].get("fixed_input_shape")
    if "Resize" in steps:
        return _pair("target_size", steps["Resize"]["target_size"]), not steps["Resize"].get("keep_ratio", False)
    if fixed:  # width and height, and in version 2 with batch and channels before
        sides = _list(fixed)
        return _pair("fixed_input_shape", sides[-2:] if len(sides) == 4 else sides[::-1]), False
    if "ResizeByShort" in steps:
        short, long = steps["ResizeByShort"]["short_size"], steps["ResizeByShort"].get("max_size", -1)
        return _pair("short_size", [short, long if long > 0 else short]), False
    return None, False


def _refuse_unknown(steps: Mapping[str, Any], known: tuple[str, ...]) -> None:
    other = [name for name in steps if name not in (*known, *_IDLE)]
    if other:
        raise ValueError(f"images are prepared by {', '.join(other)}, which edge-seg doesn't do")
    interpolation = {str(step.get("interp", 1)).upper() for name, step in steps.items() if name.startswith("Resize")}
    if interpolation - {"1", "LINEAR"}:
        raise ValueError(f"images are resized with interp {', '.join(sorted(interpolation))}, not 1 (bilinear)")


def _classes(labels: Any) -> tuple[str, ...]:
    classes = tuple(map(str, _list(labels)))
    if not classes or None in labels or len(set(classes)) < len(classes):
        raise ValueError(f"classes {', '.join(map(str, labels))}: expected names, each once")
    return classes


def _settings(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{str(value)[:40]!r} where settings by name should be")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{str(value)[:40]!r} where a list should be")
    return list(value)


def _several(name: str, value: Any) -> tuple[float, float, float]:
    return _three(name, value if isinstance(value, (list, tuple)) else [value] * 3)


def _three(name: str, values: Any) -> tuple[float, float, float]:
    numbers = [float(value) for value in _flat(values)]
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{name} {str(values)[:40]}: expected three numbers")
    a, b, c = numbers
    return a, b, c


def _flat(values: Any) -> Iterator[Any]:
    for value in _list(values):
        yield from _flat(value) if isinstance(value, (list, tuple)) else (value,)


def _pair(name: str, value: Any) -> tuple[int, int]:
    """Height and width, or one number for both; rounded up to what the network takes."""
    sides = _list(value) if isinstance(value, (list, tuple)) else [value] * 2
    if len(sides) != 2 or not all(isinstance(side, (int, float)) and 0 < side <= 8192 for side in sides):
        raise ValueError(f"{name} {str(value)[:40]}: expected height and width, 1 to 8192")
    height, width = (-(-int(side) // _MULTIPLE) * _MULTIPLE for side in sides)
    return height, width

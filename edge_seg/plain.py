"""Plain JSON values → dataclasses, with each field's type checked and named in the error."""

from __future__ import annotations

import dataclasses
import math
import reprlib
import sys
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from edge_seg.errors import EdgeSegError

# What a manifest says freely (where it came from, what was measured) may be nested so deep; every reader can walk it.
DEEPEST = 16


# Cuts long values short, and deeply nested ones, which repr() itself can't get through.
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 80


T = TypeVar("T")
Refuse = Callable[[str], EdgeSegError]
"""Makes the error to raise from its message: an error class, or a function that adds a remedy."""


def from_plain(kind: type[T], value: object, where: str, refuse: Refuse) -> T:
    """Builds the dataclass ``kind`` from JSON values.

    Raises ``refuse(message)``, which names the field that is missing, unknown or of another type.
    """
    return typing.cast(T, _convert(kind, value, where, refuse))


def _convert(kind: Any, value: Any, where: str, refuse: Refuse) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        require(_is_plain(value), where, f"finite numbers, and at most {DEEPEST} levels of nesting", value, refuse)
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, where, refuse)
    if dataclasses.is_dataclass(kind):
        return _convert_dataclass(kind, value, where, refuse)
    if origin is tuple:
        require(isinstance(value, list), where, "a list", value, refuse)
        if arguments[-1] is Ellipsis:
            return tuple(_convert(arguments[0], item, f"{where}[{i}]", refuse) for i, item in enumerate(value))
        require(len(value) == len(arguments), where, f"{len(arguments)} values", value, refuse)
        return tuple(
            _convert(kind_i, item, f"{where}[{i}]", refuse)
            for i, (kind_i, item) in enumerate(zip(arguments, value, strict=True))
        )
    if origin is dict:
        require(isinstance(value, dict), where, "an object", value, refuse)
        return {key: _convert(arguments[1], item, f"{where}.{key}", refuse) for key, item in value.items()}
    if kind is float:
        # JSON may hold 1e999 (infinity once read) and whole numbers that no float can hold.
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
        require(number, where, "a number", value, refuse)
        return float(value)
    require(
        isinstance(value, kind) and not (kind is int and isinstance(value, bool)), where, kind.__name__, value, refuse
    )
    return value


def _convert_dataclass(kind: Any, value: Any, where: str, refuse: Refuse) -> Any:
    require(isinstance(value, dict), where, "an object", value, refuse)
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for name in value:
        if name not in fields:
            raise refuse(f"{where}.{name}: unknown field")
    for name, f in fields.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in value:
            raise refuse(f"{where}.{name}: missing")
    return kind(**{name: _convert(hints[name], item, f"{where}.{name}", refuse) for name, item in value.items()})


def _is_plain(value: Any, levels: int = DEEPEST) -> bool:
    if isinstance(value, (dict, list)):
        items = value.values() if isinstance(value, dict) else value
        return levels > 0 and all(_is_plain(item, levels - 1) for item in items)
    return not isinstance(value, float) or math.isfinite(value)


def require(holds: bool, where: str, expected: str, value: object, refuse: Refuse) -> None:
    """Raises ``refuse(message)`` unless ``holds``; the message names the place, what was expected, what was found."""
    if not holds:
        raise refuse(f"{where}: expected {expected}, found {SHORT.repr(value)}")

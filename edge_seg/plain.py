"""Plain JSON values ↔ dataclasses, with each field's type checked and named in the error."""

from __future__ import annotations

import dataclasses
import functools
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

LEFT_OUT_IF_NONE = {"left_out_if_none": True}
"""A field's metadata: :func:`to_plain` leaves it out while it is None, as if it were unknown to older versions."""


def from_plain(kind: type[T], value: object, where: str, refuse: Refuse) -> T:
    """Builds the dataclass ``kind`` from JSON values.

    Raises ``refuse(message)``, which names the field that is missing, unknown or of another type.
    """
    try:
        return typing.cast(T, _converter(typing.cast(Any, kind))(value))
    except _Mismatch as problem:
        raise refuse(problem.message(where)) from None


def to_plain(value: Any) -> Any:
    """The JSON value of a dataclass: objects, lists, numbers, text, None."""
    if dataclasses.is_dataclass(value):
        plain = {}
        kind: Any = type(value)
        for name, optional in _fields(kind):
            item = getattr(value, name)
            if item is not None or not optional:
                plain[name] = to_plain(item)
        return plain
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    return value


@functools.cache
def _fields(kind: Any) -> tuple[tuple[str, bool], ...]:
    return tuple((field.name, "left_out_if_none" in field.metadata) for field in dataclasses.fields(kind))


class _Mismatch(Exception):
    """A value that doesn't fit; the path to it is gathered on the way out, so that none is built where all fits."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path: list[str] = []

    def message(self, where: str) -> str:
        return f"{where}{''.join(reversed(self.path))}: {self.problem}"


def _expected(what: str, value: object) -> _Mismatch:
    return _Mismatch(f"expected {what}, found {SHORT.repr(value)}")


Converter = Callable[[Any], Any]


@functools.cache
def _converter(kind: Any) -> Converter:
    """What turns a JSON value into a ``kind``. Looking up type hints costs more than converting: once a type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return _any
    if origin in (types.UnionType, typing.Union):
        inner = _converter(next(argument for argument in arguments if argument is not type(None)))
        return _optional(inner) if type(None) in arguments else inner
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return _list(_converter(arguments[0]))
        return _row(tuple(map(_converter, arguments)))
    if origin is dict:
        return _object(_converter(arguments[1]))
    if kind is float:
        return _float
    return _instance(kind)


def _any(value: Any) -> Any:
    if not _is_plain(value):
        raise _expected(f"finite numbers, and at most {DEEPEST} levels of nesting", value)
    return value


def _optional(inner: Converter) -> Converter:
    return lambda value: None if value is None else inner(value)


def _float(value: Any) -> float:
    if type(value) is float and value - value == 0:  # finite
        return value
    # JSON may hold 1e999 (infinity once read) and whole numbers that no float can hold.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
        raise _expected("a number", value)
    return float(value)


def _instance(kind: Any) -> Converter:
    def convert(value: Any) -> Any:
        if type(value) is not kind:  # JSON makes no subclasses, but bool, which is an int to isinstance()
            raise _expected(kind.__name__, value)
        return value

    return convert


def _list(item: Converter) -> Converter:
    def convert(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _expected("a list", value)
        converted: list[Any] = []
        try:
            for each in value:
                converted.append(item(each))
        except _Mismatch as problem:
            problem.path.append(f"[{len(converted)}]")
            raise
        return tuple(converted)

    return convert


def _row(items: tuple[Converter, ...]) -> Converter:
    def convert(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _expected("a list", value)
        if len(value) != len(items):
            raise _expected(f"{len(items)} values", value)
        converted: list[Any] = []
        try:
            for item, each in zip(items, value, strict=True):
                converted.append(item(each))
        except _Mismatch as problem:
            problem.path.append(f"[{len(converted)}]")
            raise
        return tuple(converted)

    return convert


def _object(item: Converter) -> Converter:
    def convert(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _expected("an object", value)
        converted = {}
        key = ""
        try:
            for key, each in value.items():
                converted[key] = item(each)
        except _Mismatch as problem:
            problem.path.append(f".{key}")
            raise
        return converted

    return convert


def _dataclass(kind: Any) -> Converter:
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    known = frozenset(fields)
    required = frozenset(
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    )
    converters = {name: _converter(hints[name]) for name in fields}

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _expected("an object", value)
        names = value.keys()
        if not names <= known:
            raise _named(next(name for name in value if name not in known), "unknown field")
        if not names >= required:
            raise _named(next(name for name in fields if name in required and name not in value), "missing")
        arguments = {}
        name = ""
        try:
            for name, item in value.items():
                arguments[name] = converters[name](item)
        except _Mismatch as problem:
            problem.path.append(f".{name}")
            raise
        return kind(**arguments)

    return convert


def _named(name: str, problem: str) -> _Mismatch:
    mismatch = _Mismatch(problem)
    mismatch.path.append(f".{name}")
    return mismatch


def _is_plain(value: Any, levels: int = DEEPEST) -> bool:
    if isinstance(value, (dict, list)):
        items = value.values() if isinstance(value, dict) else value
        return levels > 0 and all(_is_plain(item, levels - 1) for item in items)
    return not isinstance(value, float) or math.isfinite(value)


def require(holds: bool, where: str, expected: str, value: object, refuse: Refuse) -> None:
    """Raises ``refuse(message)`` unless ``holds``; the message names the place, what was expected, what was found."""
    if not holds:
        raise refuse(f"{where}: expected {expected}, found {SHORT.repr(value)}")

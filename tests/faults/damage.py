"""Damages files by chance: what a disk, a network, a hand, a broken program or a stranger may do to them."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from typing import Any

HUGE = ("1e308", "-1", "0", "NaN", "Infinity", "1" + "0" * 400, "4294967296", "-9223372036854775809", "0.1", '"7"')
STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**30, 1e308, float("nan"), "", "../../x", "/etc/passwd", "\x1b[2J", "\0", "é" * 300),
    *([], {}, [[]], {"": None}, [None] * 5, [1e308] * 9, [["a"]]),
)
DEPTH = 100_000


def flip(content: bytes, rng: random.Random) -> bytes:
    """Changes bits, as a rule near the beginning, where a file's structure is."""
    found = bytearray(content)
    end = len(found) if rng.random() < 0.5 else min(len(found), 600)
    for _ in range(rng.randint(1, 8)):
        if end:
            found[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(found)


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def hole(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[:start] + content[start + rng.randint(1, 1 + len(content) // 2) :]


def doubled(content: bytes, rng: random.Random) -> bytes:
    """Repeats the whole, or a part of it."""
    start = rng.choice([0, rng.randrange(len(content) + 1)])
    end = rng.choice([len(content), rng.randint(start, len(content))])
    return content[:end] + content[start:end] * rng.choice([1, 1, 40]) + content[end:]


def zeros(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content) + 1)
    end = min(len(content), start + rng.choice([1, 8, 4096]))
    return content[:start] + bytes(end - start) + content[end:]


def noise(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[:start] + rng.randbytes(rng.choice([1, 30, 3000])) + content[start + rng.randrange(9) :]


def empty(content: bytes, rng: random.Random) -> bytes:
    return rng.choice([b"", b"\n", b"\xef\xbb\xbf", b"\xff\xfe" + content[:50], b"<html>404</html>", b"null"])


def number(content: bytes, rng: random.Random) -> bytes:
    """Puts another number in the place of one that is written in digits."""
    places = list(re.finditer(rb"-?\d+(?:\.\d+)?", content))
    if not places:
        return flip(content, rng)
    place = rng.choice(places)
    return content[: place.start()] + rng.choice(HUGE).encode() + content[place.end() :]


def nested(content: bytes, rng: random.Random) -> bytes:
    """Wraps a value so often that no reader that calls itself can follow."""
    open_, close = rng.choice([(b"[", b"]"), (b'{"a":', b"}"), (b"(", b")"), (b"<a>", b"</a>"), (b"- ", b"")])
    depth = rng.choice([40, 1500, DEPTH])
    places = [found.span() for found in re.finditer(rb"\d+", content)] or [(0, 0)]
    start, end = rng.choice(places)
    return content[:start] + open_ * depth + b"1" + close * depth + content[end:]


def retyped(content: bytes, rng: random.Random) -> bytes:
    """Puts a value of another type in the place of one of a JSON file's, takes it out, or renames it."""
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        return number(content, rng)
    for _ in range(rng.randint(1, 3)):
        inside, key = _place(whole, rng)
        if inside is None:
            return json.dumps(rng.choice(STRANGE)).encode()
        way = rng.random()
        if way < 0.7:
            inside[key] = copy.deepcopy(rng.choice(STRANGE))  # what is in it may be changed next
        elif way < 0.85:
            del inside[key]
        elif isinstance(inside, dict):
            inside[rng.choice(["", "x", "segmentation", "__proto__"])] = inside.pop(key)
        else:
            inside.extend([inside[key]] * 30)
    return json.dumps(whole).encode()


def _place(whole: Any, rng: random.Random) -> tuple[Any, Any]:
    """A list or object somewhere in a JSON value, and one of its keys."""
    inside, key = None, None
    child = whole
    while isinstance(child, (dict, list)) and child:
        inside = child
        key = rng.choice(sorted(inside) if isinstance(inside, dict) else range(len(inside)))
        child = inside[key]
        if rng.random() < 0.3:
            break
    return inside, key


WAYS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(flip, flip, flip, cut, hole, doubled, zeros, noise, empty, number, nested),
)
TEXT_WAYS = (*WAYS, number, number, retyped, retyped, retyped, retyped)


def altered(message: Any, rng: random.Random) -> None:
    """Changes one to three fields of a message of protocol buffers, however deep it lies."""
    for _ in range(rng.randint(1, 3)):
        _alter(message, rng)


def _alter(message: Any, rng: random.Random) -> None:
    fields = message.ListFields()
    if not fields:
        return
    field, value = rng.choice(fields)
    repeated = hasattr(value, "extend")
    if repeated and (rng.random() < 0.25 or not value):
        _rearrange(value, rng)
    elif field.cpp_type == field.CPPTYPE_MESSAGE:
        if rng.random() < 0.05:
            message.ClearField(field.name)
        else:
            _alter(rng.choice(value) if repeated else value, rng)
    elif repeated:
        value[rng.randrange(len(value))] = _other(field, rng, rng.choice(value))
    else:
        setattr(message, field.name, _other(field, rng, value))


def _rearrange(values: Any, rng: random.Random) -> None:
    """One element goes, or stands there once more."""
    if not values:
        return
    place = rng.randrange(len(values))
    if rng.random() < 0.5:
        del values[place]
    else:
        values.extend([values[place]] * rng.choice([1, 1, 50]))


def _other(field: Any, rng: random.Random, before: Any) -> Any:
    """Another value for a field of that type."""
    kind = field.cpp_type
    if kind == field.CPPTYPE_STRING:
        if field.type == field.TYPE_BYTES:
            return damaged(bytes(before), rng, False)[1]
        return rng.choice(["", "x" * 100_000, "../../x", "image", "conv2d", "matmul_v2", "Relu", str(before)[:-1]])
    if kind in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return rng.choice([float("nan"), float("inf"), -1.0, 0.0, 1e30])
    if kind == field.CPPTYPE_BOOL:
        return not before
    if kind == field.CPPTYPE_ENUM:
        return rng.choice([value.number for value in field.enum_type.values])
    wide = kind in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64)
    numbers = [0, 1, 2, 7, 100_000, 1 << 24, (1 << 31) - 1, *([1 << 40, (1 << 63) - 1] if wide else [])]
    if kind in (field.CPPTYPE_INT32, field.CPPTYPE_INT64):
        numbers += [-1, -2, -(1 << 31)]
    return rng.choice(numbers)


def damaged(content: bytes, rng: random.Random, text: bool) -> tuple[str, bytes]:
    """The name of a way, and what it made of ``content``; ``text`` says that the file holds text."""
    way = rng.choice(TEXT_WAYS if text else WAYS)
    return way.__name__, way(content, rng)

"""Reads ``.pdparams`` and ``.pdopt`` files: pickles of arrays by name, read without Python's unpickler.

A pickle is a program. Python's own machine runs whatever a file asks for, allocates whatever size it names, and even
one that lets only numpy's classes through gives numpy states by which it follows addresses from the file. The machine
here knows the instructions that ``paddle.save`` and ``pickle.dump`` write for arrays, protocols 2 to 5. It calls
nothing that a file names: names are only compared, and arrays are built from bytes, shape and the kind of number.

Every size is checked against the file before anything is allocated, so that reading takes at most about twice the
file's size and 300 MB.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edge_seg.limits import NAME_LENGTH, PICKLE_STEPS
from edge_seg.words import counted

_SHORT_TEXT = 4096
_MOST_DIMENSIONS = 32  # numpy 1's own limit
_DTYPE = re.compile(r"([<>|=]?)([fiub])([1248])")
_ORDERS = ("<", ">", "|", "=")

_MULTIARRAY = {f"numpy.{core}.multiarray" for core in ("core", "_core")}
_NUMERIC = {f"numpy.{core}.numeric" for core in ("core", "_core")}
_BUILTINS = {"builtins", "__builtin__"}


class Refused(ValueError):
    """The file isn't a pickle of arrays, or asks for what arrays don't need."""


@dataclass(frozen=True)
class _Name:
    """Something that the file refers to by module and name. It is never imported."""

    what: str


@dataclass(frozen=True)
class _Long:
    """Text too long to be a name: the UTF-8 bytes of an array's values, as protocol 2 writes them."""

    utf8: bytearray


class _Dtype:
    """A kind of number that is still being described."""

    def __init__(self, text: str) -> None:
        match = _DTYPE.fullmatch(text)
        if not match or (match[2], match[3]) in (("b", "2"), ("b", "4"), ("b", "8"), ("f", "1")):
            raise Refused(f"an array of the type {text[:20]!r}; expected floats, integers or booleans")
        self.order, self.code = match[1] or "=", match[2] + match[3]

    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


class _Array:
    """An array that is still being described."""

    def __init__(self) -> None:
        self.value: NDArray[Any] | None = None


_MARK = object()


def read_pickled_arrays(stream: BinaryIO) -> dict[str, NDArray[Any]]:
    """The arrays of an open file by name; other values (paddle's table of names) are left out.

    Raises :class:`Refused`, saying why, and OSError when the file can't be read.
    """
    content = _Machine(stream).run()
    if not isinstance(content, dict):
        raise Refused(f"it holds {_kind(content)}, expected arrays by name")
    arrays = {name: _finish(value) for name, value in content.items()}
    return {name: value for name, value in arrays.items() if value is not None}


def _finish(value: Any) -> NDArray[Any] | None:
    if isinstance(value, _Array):
        if value.value is None:
            raise Refused("an array without values")
        return value.value
    return value if isinstance(value, np.ndarray) else None


def _kind(value: Any) -> str:
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        ((str, _Long), "text"),
        ((_Array, np.ndarray), "an array"),
        (bytearray, "bytes"),
        ((list, tuple), "a list"),
        (dict, "a table"),
        (_Name, "a name"),
        ((bool, int, float), "a number"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "nothing that is known")


class _Machine:
    """The stack, the memo and the instructions."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = self._size = os.fstat(stream.fileno()).st_size
        self._array_bytes = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """What the file holds."""
        for _ in range(PICKLE_STEPS):
            code = self._bytes(1)[0]
            if code == _STOP:
                return self._pop()
            instruction = _INSTRUCTIONS.get(code)
            if instruction is None:
                raise Refused(f"byte {self._size - self._left - 1} is 0x{code:02x}, no instruction for arrays")
            instruction(self)
        raise Refused(f"it has more than {PICKLE_STEPS:,} instructions, expected about 40 an array")

    # Reading

    def _bytes(self, count: int) -> bytearray:
        if count > self._left:
            raise Refused(
                "it ends early"
                if count <= 8
                else f"it ends early: {counted(count, 'byte')} expected, {self._left} left"
            )
        content = bytearray(count)
        self._left -= count
        if self._stream.readinto(content) != count:  # type: ignore[attr-defined]
            raise Refused("it ends early")
        return content

    def number(self, form: str, order: str = "<") -> Any:
        return struct.unpack(order + form, self._bytes(struct.calcsize(order + form)))[0]

    def block(self, form: str) -> bytearray:
        return self._bytes(self.number(form))

    def line(self) -> str:
        content = bytearray()
        while (byte := self._bytes(1)) != b"\n":
            content += byte
            if len(content) > NAME_LENGTH:
                raise Refused(f"a name of more than {NAME_LENGTH} characters")
        return content.decode("utf-8", errors="backslashreplace")

    # The stack

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise Refused("an instruction without its values")
        return self._stack.pop()

    def _top(self) -> Any:
        value = self._pop()
        self._stack.append(value)
        return value

    def to_mark(self) -> list[Any]:
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                values = self._stack[place + 1 :]
                del self._stack[place:]
                return values
        raise Refused("an instruction without its values")

    def values(self, count: int) -> list[Any]:
        return [self._pop() for _ in range(count)][::-1]

    def drop(self) -> None:
        if not self._stack:
            raise Refused("an instruction without its values")
        self._stack.pop()

    # The memo: a table, since a list would be as long as the largest number that a file writes

    def remember(self, place: int) -> None:
        self._memo[place] = self._top()

    def memoize(self) -> None:
        self.remember(len(self._memo))

    def recall(self, place: int) -> None:
        if place not in self._memo:
            raise Refused(f"value {place} is used before it is set")
        self.push(self._memo[place])

    # Values

    def text(self, form: str) -> None:
        content = self.block(form)
        self.push(_Long(content) if len(content) > _SHORT_TEXT else _decoded(content))

    def integer(self, form: str) -> None:
        length = self.number(form)
        if not 0 <= length <= 16:
            raise Refused(f"a whole number of {length} bytes")
        self.push(int.from_bytes(self._bytes(length), "little", signed=True))

    def protocol(self) -> None:
        version = self.number("B")
        if not 2 <= version <= 5:
            raise Refused(f"pickle protocol {version}, expected 2 to 5")

    def stack_global(self) -> None:
        module, name = self.values(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refused("a name that isn't text")
        self.global_(module, name)

    def global_(self, module: str, name: str) -> None:
        for modules, names in _KNOWN:
            if module in modules and name in names:
                self.push(_Name(name))
                return
        raise Refused(f"it asks for {_shown(f'{module}.{name}')}, which arrays don't need")

    # Containers

    def append(self, values: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise Refused(f"values are added to {_kind(target)}")
        target.extend(values)

    def set_items(self, values: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, dict) or len(values) % 2:
            raise Refused(f"named values are added to {_kind(target)}")
        for name, value in zip(values[::2], values[1::2], strict=True):
            if isinstance(name, _Long) or (isinstance(name, str) and len(name) > NAME_LENGTH):
                raise Refused(f"a name of more than {NAME_LENGTH} characters")
            if not isinstance(name, str):
                raise Refused(f"a name that is {_kind(name)}, expected text")
            if not name.isprintable():
                raise Refused(f"the name {_shown(name)} holds characters that can't be printed")
            target[name] = value

    # Calls, of the few things that are known

    def reduce(self) -> None:
        called, arguments = self.values(2)
        if not isinstance(called, _Name) or not isinstance(arguments, tuple):
            raise Refused(f"it calls {_kind(called)}")
        try:
            self.push(_CALLS[called.what](self, *arguments))
        except (KeyError, TypeError):
            raise Refused(f"it calls {called.what} with values that arrays don't need") from None

    def build(self) -> None:
        state = self._pop()
        target = self._top()
        if not isinstance(state, tuple):
            raise Refused(f"a state that is {_kind(state)}")
        if isinstance(target, _Dtype):
            self._stack[-1] = _with_order(target, state)
        elif isinstance(target, _Array) and target.value is None and len(state) == 5:
            _, shape, dtype, fortran, content = state
            target.value = self.array(content, dtype, shape, "F" if fortran in (True, 1) else "C")
        else:
            raise Refused(f"a state for {_kind(target)}")

    def array(self, content: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
        """The array of ``content``'s bytes; all sizes must fit each other, and all arrays together the file."""
        if not isinstance(content, bytearray) or not isinstance(dtype, _Dtype) or not isinstance(shape, tuple):
            raise Refused("an array whose bytes, type or shape are of another kind")
        if len(shape) > _MOST_DIMENSIONS or not all(type(n) is int and 0 <= n < 1 << 48 for n in shape):
            raise Refused("an array with a shape that no array has")
        kind = dtype.dtype()
        count = 1
        for side in shape:
            count *= side
        if count * kind.itemsize != len(content):
            raise Refused(
                f"an array of {counted(len(content), 'byte')}, expected {count * kind.itemsize} for its shape and type"
            )
        self._array_bytes += len(content)
        if self._array_bytes > self._size:  # the same bytes, used again and again
            raise Refused("its arrays are larger than the file")
        flat = np.frombuffer(content, np.uint8) != 0 if kind.kind == "b" else np.frombuffer(content, kind)
        return flat.reshape(shape, order="F" if order == "F" else "C")


def _decoded(content: bytearray) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("text that isn't UTF-8") from None


def _shown(name: str) -> str:
    return ascii(name[:80])


def _with_order(dtype: _Dtype, state: tuple[Any, ...]) -> _Dtype:
    """numpy's state of a plain type: (3, byte order, None, None, None, -1, -1, 0). Others hold objects or fields."""
    if len(state) < 5 or state[1] not in _ORDERS or any(part is not None for part in state[2:5]):
        raise Refused("an array of a type with a state of its own; expected floats, integers or booleans")
    ordered = _Dtype(dtype.code)
    ordered.order = state[1]
    return ordered


def _encode(_machine: _Machine, text: Any, encoding: Any) -> bytearray:
    """How protocol 2 writes bytes: as text of the characters 0 to 255, in UTF-8."""
    if encoding not in ("latin1", "latin-1"):
        raise Refused("bytes in an encoding that arrays don't use")
    if isinstance(text, str):
        text = _Long(bytearray(text.encode("utf-8")))
    if not isinstance(text, _Long):
        raise Refused(f"bytes made of {_kind(text)}")
    # Looked at before it is decoded: one character above 255 would make the text two or four times as large.
    if len(text.utf8) and np.frombuffer(text.utf8, np.uint8).max() > 0xC3:
        raise Refused("bytes made of characters above 255")
    return bytearray(_decoded(text.utf8).encode("latin-1"))


def _dtype(_machine: _Machine, text: Any, *_align_and_copy: Any) -> _Dtype:
    if not isinstance(text, str):
        raise Refused("an array whose type isn't text")
    return _Dtype(text)


def _scalar(machine: _Machine, dtype: Any, content: Any) -> NDArray[Any]:
    return machine.array(content, dtype, (), "C")


def _from_buffer(machine: _Machine, content: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    return machine.array(content, dtype, shape, order)


_CALLS: dict[str, Callable[..., Any]] = {
    "_reconstruct": lambda _machine, _kind, _shape, _code: _Array(),
    "_frombuffer": _from_buffer,
    "scalar": _scalar,
    "dtype": _dtype,
    "encode": _encode,
    "bytes": lambda _machine: bytearray(),
    "OrderedDict": lambda _machine: {},
}

_KNOWN = (
    (_MULTIARRAY, {"_reconstruct", "scalar"}),
    (_NUMERIC, {"_frombuffer"}),
    ({"numpy"}, {"ndarray", "dtype"}),
    ({"_codecs"}, {"encode"}),
    ({"collections"}, {"OrderedDict"}),
    (_BUILTINS, {"bytes"}),
)

_STOP = ord(".")


def _table(values: list[Any], machine: _Machine) -> None:
    machine.push({})
    machine.set_items(values)


_Instruction = Callable[[_Machine], object]
_INSTRUCTIONS: dict[int, _Instruction] = {
    0x80: _Machine.protocol,
    0x95: lambda m: m.number("Q"),  # a frame: only a hint for buffers
    ord("("): lambda m: m.push(_MARK),
    ord("0"): _Machine.drop,
    ord("1"): _Machine.to_mark,
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("J"): lambda m: m.push(m.number("i")),
    ord("K"): lambda m: m.push(m.number("B")),
    ord("M"): lambda m: m.push(m.number("H")),
    0x8A: lambda m: m.integer("B"),
    0x8B: lambda m: m.integer("i"),
    ord("G"): lambda m: m.push(m.number("d", ">")),
    ord("X"): lambda m: m.text("I"),
    0x8C: lambda m: m.text("B"),
    0x8D: lambda m: m.text("Q"),
    ord("C"): lambda m: m.push(m.block("B")),
    ord("B"): lambda m: m.push(m.block("I")),
    0x8E: lambda m: m.push(m.block("Q")),
    0x96: lambda m: m.push(m.block("Q")),
    ord("]"): lambda m: m.push([]),
    ord("l"): lambda m: m.push(m.to_mark()),
    ord("a"): lambda m: m.append(m.values(1)),
    ord("e"): lambda m: m.append(m.to_mark()),
    ord(")"): lambda m: m.push(()),
    0x85: lambda m: m.push(tuple(m.values(1))),
    0x86: lambda m: m.push(tuple(m.values(2))),
    0x87: lambda m: m.push(tuple(m.values(3))),
    ord("t"): lambda m: m.push(tuple(m.to_mark())),
    ord("}"): lambda m: m.push({}),
    ord("d"): lambda m: _table(m.to_mark(), m),
    ord("s"): lambda m: m.set_items(m.values(2)),
    ord("u"): lambda m: m.set_items(m.to_mark()),
    ord("q"): lambda m: m.remember(m.number("B")),
    ord("r"): lambda m: m.remember(m.number("I")),
    0x94: _Machine.memoize,
    ord("h"): lambda m: m.recall(m.number("B")),
    ord("j"): lambda m: m.recall(m.number("I")),
    ord("c"): lambda m: m.global_(m.line(), m.line()),
    0x93: _Machine.stack_global,
    ord("R"): _Machine.reduce,
    ord("b"): _Machine.build,
}

"""Weights files from strangers: real ones are read, no other can do harm."""

from __future__ import annotations

import contextlib
import io
import pickle
import pickletools
import struct
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_seg.train.unpickle import Refused, read_pickled_arrays
from tests.strategies import damaged

ROOT = Path(__file__).parents[2]
Arrays = dict[str, np.ndarray[Any, Any]]

ALL_KINDS: Arrays = {
    "backbone.conv1.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "half": np.array([[1.5, -2.0]], np.float16),
    "double": np.array([np.pi], ">f8"),
    "columns": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
    "bytes": np.arange(256, dtype=np.uint8),
    "yes": np.array([True, False]),
    "empty": np.zeros((0, 4), np.float32),
    "scalar": np.array(2.5, np.float32),
}


def read(content: bytes, tmp_path: Path) -> Arrays:
    file = tmp_path / "a.pdparams"
    file.write_bytes(content)
    with file.open("rb") as stream:
        return read_pickled_arrays(stream)


def same(found: Arrays, expected: Arrays) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == value.dtype and found[name].shape == value.shape and np.array_equal(found[name], value)
        for name, value in expected.items()
    )


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_arrays_of_every_kind_come_back(kind: Callable[..., Any], protocol: int, tmp_path: Path) -> None:
    saved = kind({**ALL_KINDS, "StructuredToParameterName@@": {"half": "conv2d_0.w_0"}, "number": np.float32(3)})
    found = read(pickle.dumps(saved, protocol=protocol), tmp_path)
    assert same(found, {**ALL_KINDS, "number": np.array(3, np.float32)})


def test_numpy_2_writes_other_module_names(tmp_path: Path) -> None:
    """As in files that paddle 3.x saved."""
    content = pickle.dumps(ALL_KINDS, protocol=2).replace(b"cnumpy.core.", b"cnumpy._core.")
    assert same(read(content, tmp_path), ALL_KINDS)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_.0-9]{1,30}", fullmatch=True),
        arrays.arrays(
            st.sampled_from(["<f4", "<f8", "<f2", "<i8", "|u1", "|b1", ">i4"]),
            arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
        ),
        max_size=5,
    ),
    st.integers(2, 5),
)
@settings(max_examples=50, deadline=None)
def test_whatever_numpy_pickles_comes_back(
    tmp_path_factory: pytest.TempPathFactory, saved: Arrays, protocol: int
) -> None:
    found = read(pickle.dumps(saved, protocol=protocol), tmp_path_factory.getbasetemp())
    assert all(found[name].tobytes() == value.tobytes() for name, value in saved.items())
    assert [value.dtype for value in found.values()] == [value.dtype for value in saved.values()]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_files_are_refused_or_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = damaged(data, pickle.dumps(ALL_KINDS, protocol=data.draw(st.sampled_from([2, 4, 5]))))
    with contextlib.suppress(Refused):  # the only exception that it may raise
        read(content, tmp_path_factory.getbasetemp())


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_noise_is_refused(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    with pytest.raises(Refused):
        read(b"\x80\x02" + noise.replace(b".", b""), tmp_path_factory.getbasetemp())


class _Call:
    """Pickled as a call of anything."""

    def __init__(self, *parts: Any) -> None:
        self._parts = parts

    def __reduce__(self) -> Any:
        return self._parts


def named(name: bytes, value: bytes) -> bytes:
    """A pickle of one name and value, made by hand."""
    return b"\x80\x02}X" + struct.pack("<I", len(name)) + name + value + b"s."


_DTYPE = b"cnumpy\ndtype\nX\x02\0\0\0%b\x89\x88\x87R"
_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R"


def array(dtype: bytes, shape: bytes = b"K\x01\x85", content: bytes = b"C\x04\0\0\0\0") -> bytes:
    """An array made by hand."""
    return _ARRAY + b"(K\x01" + shape + dtype + b"\x89" + content + b"tb"


def test_an_array_made_by_hand_is_read(tmp_path: Path) -> None:
    assert same(read(named(b"a", array(_DTYPE % b"f4")), tmp_path), {"a": np.zeros(1, np.float32)})


_ADDRESS = struct.pack("<Q", 0x41414141)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (named(b"a", array(_DTYPE % b"O8", content=b"C\x08" + _ADDRESS)), "type 'O8'"),
        (named(b"a", array(_DTYPE % b"V8", content=b"C\x08" + _ADDRESS)), "type 'V8'"),
        (named(b"a", array(_DTYPE % b"M8", content=b"C\x08" + _ADDRESS)), "type 'M8'"),
        # numpy takes the fields, and with them objects, from a dtype's state.
        (
            named(
                b"a",
                array(
                    _DTYPE % b"f8" + b"(K\x03X\x01\0\0\0|NX\x01\0\0\0a\x85}X\x01\0\0\0a"
                    b"cnumpy\ndtype\nX\x02\0\0\0f8\x89\x88\x87RK\0\x86sK\x08K\x01K?tb",
                    content=b"C\x08" + _ADDRESS,
                ),
            ),
            "a state of its own",
        ),
        (named(b"a", array(_DTYPE % b"f4", shape=b"K\x02\x85")), "4 bytes, expected 8"),
        (named(b"a", array(_DTYPE % b"f4", shape=b"J\xff\xff\xff\xff\x85")), "shape that no array has"),
        (named(b"a", array(_DTYPE % b"f4", shape=b"\x8a\x09" + b"\xff" * 8 + b"\x00\x85")), "shape that no array has"),
        (b"\x80\x02K\x01K\x02\x86}K\x01K\x02s.", "a name that is a number"),
        (named(b"n" * (1 << 20), b"K\x01"), "more than 500 characters"),
        (named(b"n" * 501, b"K\x01"), "more than 500 characters"),
        (named(b"\x1b]0;title\x07", b"K\x01"), r"'\x1b]0;title\x07' holds characters that can't be printed"),
        (b"\x80\x02Nr\x80\xd1\xf0\x08.", "it holds nothing that is known"),  # a memo of two gigabytes, in 9 bytes
        (b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"a.", "it ends early: 1,099,511,627,776 bytes"),
        (b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"N.", "it holds nothing that is known"),
        (b"\x80\x02c" + b"m" * (1 << 20), "more than 500 characters"),
        (b"\x80\x00N.", "pickle protocol 0"),
        (pickle.dumps(_Call(exec, ("raise SystemExit",)), protocol=2), "it asks for '__builtin__.exec'"),
        (pickle.dumps(_Call(eval, ("1",)), protocol=4), "it asks for 'builtins.eval'"),
        (b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x05\0\0\0rot13\x86R.", "an encoding that arrays don't use"),
        (b"\x80\x02c_codecs\nencode\nX\x03\0\0\0\xe2\x82\xacX\x06\0\0\0latin1\x86R.", "characters above 255"),
        (b"\x80\x02c_codecs\nencode\nK\x01\x85R.", "it calls encode with values"),
        (pickle.dumps([1, 2]), "it holds a list"),
        (pickle.dumps("text"), "it holds text"),
        (b"", "it ends early"),
        (b"not a pickle", "no instruction for arrays"),
        (b"\x80\x02}h\x05s.", "value 5 is used before it is set"),
        (b"\x80\x02s.", "an instruction without its values"),
        (b"\x80\x02(.", "an instruction without its values"),
        (b"\x80\x02" + b"}0" * 600_000 + b"N.", "more than 1,000,000 instructions"),
    ],
)
def test_what_arrays_do_not_need_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        read(content, tmp_path)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500


def test_bytes_are_counted_each_time_that_they_are_used(tmp_path: Path) -> None:
    items = b"".join(b"X\x04\0\0\0%04d" % i + _ARRAY + b"(K\x01M\x10\x27\x85h\x01\x89h\0tb" for i in range(2, 1000))
    content = b"B" + struct.pack("<I", 10_000) + bytes(10_000)
    whole = b"\x80\x02" + content + b"q\x000" + _DTYPE % b"u1" + b"q\x010}(" + items + b"u."
    pickletools.dis(whole, out=io.StringIO())  # it is a sound pickle
    with pytest.raises(Refused, match="larger than the file"):
        read(whole, tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02Nr\x80\xd1\xf0\x08.",
        b"\x80\x02" + b"(" * 3_000_000,
        b"\x80\x02" + b"}" * 3_000_000,
        b"\x80\x02]q\x00" + b"h\x00a" * 3_000_000 + b".",
        b"\x80\x02)" + b"\x85" * 3_000_000 + b".",
    ],
    ids=["memo", "marks", "tables", "a list in itself", "nested"],
)
def test_no_file_takes_much_memory(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "a.pdparams"
    file.write_bytes(content)
    code = f"""
from edge_seg.train.unpickle import Refused, read_pickled_arrays
from tests.strategies import damaged
import resource
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_pickled_arrays(open({str(file)!r}, "rb"))
except Refused:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 300

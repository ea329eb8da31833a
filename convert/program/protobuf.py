"""The protocol buffers of Paddle's programs, without paddle, whose import takes seconds."""

from __future__ import annotations

import importlib.util
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from edge_seg.errors import MissingDependencyError
from edge_seg.install import pip_install

# VarType.Type: what a tensor may hold, and bytes of a value. numpy has no bfloat16.
DTYPES = {
    **{0: "bool", 1: "int16", 2: "int32", 3: "int64", 4: "float16", 5: "float32", 6: "float64", 20: "uint8"},
    **{21: "int8", 22: "bfloat16", 23: "complex64", 24: "complex128"},
}
# AttrType → the field of the message in which the value is.
FIELDS = (
    *("i", "f", "s", "ints", "floats", "strings", "b", "bools", "block_idx", "l", "blocks_idx", "longs", "float64s"),
    *("var_name", "vars_name", "float64", "scalar", "scalars"),
)
_MODULE = "framework_pb2"


@lru_cache(maxsize=1)
def framework() -> Any:
    """paddle's generated module ``framework_pb2``: ``ProgramDesc``, ``VarType`` and the rest.

    Raises :class:`MissingDependencyError` when paddle isn't installed.
    """
    if loaded := sys.modules.get("paddle.base.proto.framework_pb2"):
        return loaded
    spec = importlib.util.find_spec("paddle")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or []:
        file = Path(folder, "base", "proto", "framework_pb2.py")
        if file.is_file():
            found = importlib.util.spec_from_file_location("edge_seg_framework_pb2", file)
            assert found is not None
            assert found.loader is not None
            module = importlib.util.module_from_spec(found)
            found.loader.exec_module(module)
            return module
    raise MissingDependencyError(
        "reading a model needs PaddlePaddle, which isn't installed", remedy=pip_install("train")
    )

"""Weights files: taken as far as they fit, never trusted."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from edge_seg.errors import DataError
from edge_seg.train.weights import read_arrays


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code from a weights file was run')",)


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps({"a": _Bomb()}), pickle.dumps([1, 2])])
def test_files_that_are_no_weights_are_refused_unrun(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "bad.pdparams"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.pdparams"):
        read_arrays(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_arrays(tmp_path / "absent.pdparams")

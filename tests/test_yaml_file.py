"""YAML from outside: plain values within limits, and one clear error for the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_seg.errors import ConversionError, DataError, EdgeSegError, UsageError
from edge_seg.yaml_file import read_yaml

BOMB = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)


def test_plain_values(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes("\ufeffsize: !!python/tuple [320, 480]\nnames: {0: käfer}\n".encode())
    assert read_yaml(file, DataError, "mend it") == {"size": [320, 480], "names": {0: "käfer"}}


@pytest.mark.parametrize("error", [UsageError, DataError, ConversionError])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "aliases"),
        ("a: [", "expected"),
        ("a: &a {b: 1}\nc: {<<: *a}\n", "merged"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("[" * 10_000, "can't be used"),
        ("a: " + "x" * (1 << 20), "expected at most"),
        ("a: 2026-13-45", "month must be"),
    ],
)
def test_what_is_refused(error: type[EdgeSegError], text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(error, match=said) as caught:
        read_yaml(file, error, "mend it")
    assert str(file) in caught.value.message
    assert caught.value.remedy


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    with pytest.raises(DataError, match="not a regular file|a pipe"):
        read_yaml(tmp_path / "a.yaml", DataError, "mend it")

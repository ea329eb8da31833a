"""Scalars for TensorBoard: asked for by name, refused by name where the writer is missing."""

from __future__ import annotations

import importlib
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


def test_a_missing_writer_is_named_before_anything_is_made(
    train: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert train(tmp_path / "run", "--scalars", "tensorboard", "--max-steps", 1) == 1
    error = capsys.readouterr().err
    assert "'tensorboardX' is not installed" in error
    assert "[tensorboard]" in error
    assert not (tmp_path / "run").exists()


def records(content: bytes) -> Iterator[bytes]:
    """What is in an event file: each record with its length and a checksum before it and one behind."""
    at = 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        yield content[at + 12 : at + 12 + length]
        at += length + 16


def test_losses_rate_and_map_by_step(train: Callable[..., int], tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="needs the extra 'tensorboard'")
    event_of = importlib.import_module("tensorboardX.proto.event_pb2").Event.FromString
    out = tmp_path / "run"
    assert train(out, "--scalars", "tensorboard", "--max-steps", 4) == 0
    assert train(out, "--scalars", "tensorboard", "--max-steps", 6, "--resume") == 0
    found: dict[str, list[int]] = {}
    for file in sorted((out / "scalars").iterdir()):
        for record in records(file.read_bytes()):
            event = event_of(record)
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(event.step)
    assert found["train/loss"] == found["train/lr"] == [2, 4, 6]
    assert found["eval/mask_map"] == [4, 6]

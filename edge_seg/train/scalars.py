"""A training's losses, rate and mAP for TensorBoard: ``tensorboard --logdir RUN/scalars``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from edge_seg.install import missing_module


class Scalars(Protocol):
    """Where values go, by step."""

    def write(self, step: int, kind: str, values: Mapping[str, float | None]) -> None:
        """``kind`` is "train" or "eval"; None values are left out."""

    def close(self) -> None:
        """Writes what is still held back."""


class NoScalars:
    """Nobody asked for any."""

    def write(self, step: int, kind: str, values: Mapping[str, float | None]) -> None:
        pass

    def close(self) -> None:
        pass


class TensorBoard:
    """Event files by tensorboardX. Those of a training that was stopped stay; what it does again replaces theirs."""

    def __init__(self, folder: Path) -> None:
        try:
            self._library: Any = importlib.import_module("tensorboardX")
        except ModuleNotFoundError:
            raise missing_module("tensorboardX") from None
        self._folder = folder
        self._writer: Any = None

    def write(self, step: int, kind: str, values: Mapping[str, float | None]) -> None:
        if self._writer is None:
            # Not before the run folder is there as a whole; TensorBoard drops what an earlier process wrote from here.
            self._writer = self._library.SummaryWriter(str(self._folder), purge_step=step)
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(f"{kind}/{name}", value, step)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def open_scalars(kind: str, folder: Path) -> Scalars:
    """What writes scalars of ``kind`` into ``folder``; :class:`MissingDependencyError` names what isn't installed."""
    return TensorBoard(folder) if kind == "tensorboard" else NoScalars()

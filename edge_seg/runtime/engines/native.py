"""The native runner `edge-seg-run` as an engine: what runs a Paddle Lite bundle on a board that has no wheel for it.

The program takes whole images, so this engine does too (see :class:`edge_seg.runtime.engines.ImageEngine`): handing
feature maps of many megabytes to another process and back would cost more than the images do. The program is started
once, keeps the model loaded, and is told each image's name on its stdin; images go through memory (/dev/shm).

The program is found as ``EDGE_SEG_RUN`` (a program, or a command line with arguments), beside the bundle as `edge-seg
board pack` lays it out, in the wheel edge-seg-runner if that is installed, or on the PATH.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_seg.bundle import Bundle
from edge_seg.errors import EngineError, MissingDependencyError
from edge_seg.runtime.result import Instances
from edge_seg.targets.drive import Session

PROGRAM, VARIABLE = "edge-seg-run", "EDGE_SEG_RUN"
PACKAGE = "edge_seg_runner"
"""The wheel for boards that `make wheels` makes holds the program."""
SILENCE_S = 600.0
SHARED = Path("/dev/shm")
"""Where images are handed over: a folder in memory."""


def find(bundle: Bundle | None = None) -> list[str] | None:
    """The command that starts the native runner, None where there is none."""
    named = os.environ.get(VARIABLE)
    if named:
        return [named] if Path(named).is_file() else shlex.split(named)
    beside = bundle.path.resolve().parent / PROGRAM if bundle else None
    if beside is not None and beside.is_file() and os.access(beside, os.X_OK):
        return [str(beside)]
    packaged = importlib.util.find_spec(PACKAGE)
    if packaged is not None and packaged.origin is not None:
        program = Path(packaged.origin).with_name(PROGRAM)
        if program.is_file():
            return [str(program)]
    found = shutil.which(PROGRAM)
    return [found] if found else None


def load(bundle: Bundle, threads: int) -> NativeEngine:
    """The engine; the program is started with the first image. MissingDependencyError where there is none."""
    command = find(bundle)
    if command is None:
        raise MissingDependencyError(
            f"the native runner {PROGRAM} was not found",
            remedy=f"put it on the PATH, or name it in {VARIABLE}; cmake/README.md says how it is built",
        )
    return NativeEngine(command, bundle, threads)


class NativeEngine:
    """See the module."""

    name = "native"

    def __init__(self, command: list[str], bundle: Bundle, threads: int) -> None:
        self._command = command
        self._options = ["--bundle", str(bundle.path), "--warmup", "0", "--repeat", "1", "--json", "--images", "-"]
        self._options += ["--threads", str(threads)] if threads else []
        self._session: Session | None = None
        self._asked: tuple[float | None, int | None] = (None, None)
        self._ready: dict[str, Any] = {}
        place = SHARED if os.access(SHARED, os.W_OK) else None
        self._folder = tempfile.TemporaryDirectory(prefix="edge-seg-", dir=place, ignore_cleanup_errors=True)
        self._start(None, None)  # what is wrong with the bundle is said when it is loaded

    def segment(
        self, image: NDArray[np.uint8], score: float | None, instances: int | None
    ) -> tuple[Instances, dict[str, int]]:
        """The instances of uint8[H, W, 3] in BGR order, and the nanoseconds of each stage as the program took them."""
        if self._session is None or (score, instances) != self._asked:
            self._start(score, instances)
        assert self._session is not None
        file = Path(self._folder.name) / "image.png"
        # Not compressed: it is read once, and from memory.
        encoded, content = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 0])
        assert encoded
        file.write_bytes(content.tobytes())
        try:
            self._session.say(str(file))
            sample, result = (self._session.until(kind) for kind in ("sample", "result"))
            ns = {name: int(value) for name, value in sample["ns"].items() if name != "total"}
            return Instances.from_json(result["instances"], result["height"], result["width"]), ns
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as problem:
            self._stop()
            raise EngineError(f"{self.name}: a line that can't be read: {problem!r}", code="runner-protocol") from None
        except EngineError:
            self._stop()
            raise

    def run(self, graph: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        raise EngineError(
            f"{self.name}: can't run the graph {graph!r} alone", remedy="give it whole images", code="engine-input"
        )

    def describe(self) -> dict[str, Any]:
        """The engine within the program."""
        return {**self._ready, "runner": Path(self._command[0]).name}

    def close(self) -> None:
        self._stop()
        self._folder.cleanup()

    def _start(self, score: float | None, instances: int | None) -> None:
        self._stop()
        options = [*self._options]
        options += ["--score", repr(score)] if score is not None else []
        options += ["--instances", str(instances)] if instances is not None else []
        self._session = Session(self._command, options, SILENCE_S)
        self._asked = (score, instances)
        try:
            self._ready = self._session.until("load")["engine"]
        except EngineError:
            self._stop()
            raise

    def _stop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

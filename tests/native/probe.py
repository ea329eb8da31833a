"""Calls single functions of the native core through its test program (cmake/tests/probe.cc)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Refused(Exception):
    """The function threw: ``code`` is the error's."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(f"{answer['error']}: {answer['message']}")
        self.code: str = answer["error"]
        self.message: str = answer["message"]


class Probe:
    """A running test program, on this machine or in an emulator."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, do: str, *arrays: Array, **values: Any) -> tuple[dict[str, Any], list[bytes]]:
        """The answer's values and arrays. Raises Refused."""
        assert self._process.stdin
        assert self._process.stdout
        blocks = [np.ascontiguousarray(array).tobytes() for array in arrays]
        head = {"do": do, "bytes": [len(block) for block in blocks], **values}
        self._process.stdin.write(json.dumps(head).encode() + b"\n" + b"".join(blocks))
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the probe died on {do!r}"
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(answer)
        return answer, [self._process.stdout.read(size) for size in answer["bytes"]]

    def __enter__(self) -> Probe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

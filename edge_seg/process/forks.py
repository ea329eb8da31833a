"""Children that needn't load their libraries anew: forked, one after the other, from a process that has them loaded.

With ``warm(["convert.backends.opt"], "paddlelite.lite")`` every :func:`run_module` of ``convert.backends.opt`` inside
it is forked instead of started: the same arguments, output, limit and exit code, without the second or more that
importing takes. A child that aborts takes nothing with it.

multiprocessing's forkserver isn't used: it imports the user's ``__main__`` again, and in Python 3.10 it imports from
the current folder.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from edge_seg import limits
from edge_seg.process import child
from edge_seg.process.child import Outcome
from edge_seg.process.python import adopt, die_with_parent, module_command

_POLL_S = 0.002


@contextlib.contextmanager
def warm(modules: Iterable[str], *libraries: str) -> Iterator[None]:
    """Within it, the children of ``modules`` are forked from a process that has imported ``libraries``.

    A library that can't be imported is left to the children, and so is everything where forking fails. Within another
    ``warm`` for the same modules it does nothing.
    """
    before = child.forks.get()
    if set(modules) <= before.keys():
        yield
        return
    with tempfile.TemporaryDirectory(prefix="edge-seg-forks-") as folder:
        server = subprocess.Popen(
            module_command("edge_seg.process.forks", *libraries),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert server.stdin is not None
        assert server.stdout is not None
        fork = _Forker(server.stdin, server.stdout, Path(folder))
        token = child.forks.set({**before, **dict.fromkeys(modules, fork)})
        try:
            yield
        finally:
            child.forks.reset(token)
            with contextlib.suppress(OSError):
                server.stdin.close()
            server.kill()  # its child, if there is one, is told by the kernel
            server.wait()
            server.stdout.close()


class _Forker:
    def __init__(self, orders: IO[bytes], answers: IO[bytes], folder: Path) -> None:
        self._orders = orders
        self._answers = answers
        self._folder = folder

    def __call__(self, module: str, arguments: list[str], limit_s: float) -> Outcome | None:
        """How the child ended; None when the server is gone, and the child is to be started the ordinary way."""
        out, err = self._folder / "stdout", self._folder / "stderr"
        order = {"module": module, "arguments": arguments, "out": str(out), "err": str(err), "limit_s": limit_s}
        try:
            self._orders.write(json.dumps(order).encode() + b"\n")
            self._orders.flush()
        except OSError:
            return None
        answer = self._answers.readline()
        if not answer:
            return None
        stdout, stderr = (_end_of(file) for file in (out, err))
        return Outcome(json.loads(answer)["code"], stdout, stderr, limit_s)


def _end_of(file: Path) -> str:
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - limits.CHILD_BYTES))
        return stream.read().decode("utf-8", errors="replace")


def _serve(modules: list[str]) -> None:
    die_with_parent()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in modules:
        # A library that is missing is missing for the children too, and they say so.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(order)
        answers.write(json.dumps({"code": _wait(pid, order["limit_s"])}) + "\n")
        answers.flush()


def _wait(pid: int, limit_s: float) -> int | None:
    """The child's exit code, negative for a signal; None when it had to be killed after ``limit_s`` seconds."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_POLL_S)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _become(order: dict[str, Any]) -> None:
    """Turns this fork into ``python -m module arguments``; doesn't return."""
    code = 1
    try:
        die_with_parent()
        for number, file, flags in (
            (0, os.devnull, os.O_RDONLY),
            (1, order["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
            (2, order["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        ):
            os.dup2(os.open(file, flags, 0o600), number)
        # What was read ahead of stdin belongs to the server.
        sys.stdin = open(os.devnull)  # noqa: SIM115
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="replace")
        adopt(order["module"])
        sys.argv = [order["module"], *order["arguments"]]
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1:])

"""Files through a command that leads to a board, and what its complaints mean."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from edge_seg.errors import MissingDependencyError
from edge_seg.process.running import check_stop, stop_event
from edge_seg.targets.link import broken, failed

if TYPE_CHECKING:
    from edge_seg.targets.link import Link


SLOWEST_BYTES_S = 20_000
"""A link that is slower than this over a whole transfer counts as hung."""
LEAST_S = 120.0


def copy_through(
    command: Sequence[str],
    link: Link,
    *,
    stdin: Path | None = None,
    stdout: IO[bytes] | None = None,
    size: int | None = None,
) -> None:
    """Runs a command of this machine to its end. ``stdin``: a file, or a folder of which a tar archive is made.

    ``size`` is what is to be copied in bytes, where it isn't ``stdin``'s: it bounds the time.

    Raises TargetError, with the connection's or the board's own words, when the command fails or takes too long, and
    Stopped when this thread is to end.
    """
    limit = LEAST_S + (size_of(stdin) if stdin is not None else size or 1 << 30) / SLOWEST_BYTES_S
    with tempfile.TemporaryFile() as words:
        source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
        options: dict[str, Any] = {"stdin": source, "stdout": stdout or words, "stderr": words}
        with subprocess.Popen(list(command), start_new_session=True, **options) as process:
            watch = _Watch(process, limit)
            try:
                if process.stdin is not None and stdin is not None:
                    # When the reader has gone, its exit code and words say why.
                    with contextlib.suppress(BrokenPipeError):
                        _feed(process.stdin, stdin)
                    with contextlib.suppress(BrokenPipeError):
                        process.stdin.close()
                code = process.wait()
            except BaseException:
                process.kill()
                raise
            finally:
                watch.end()
        words.seek(0)
        said = words.read(1 << 20).decode(errors="replace").splitlines()[-20:]
    check_stop()
    if watch.late:
        raise broken(link.name, f"a transfer didn't end within {limit:.0f} s")
    if code != 0:
        raise link.fault(code, said) or failed(link.name, said)


class _Watch(threading.Thread):
    """Kills a process that takes too long, or whose thread is to end: writing into a pipe can't be given up."""

    def __init__(self, process: subprocess.Popen[bytes], limit: float) -> None:
        super().__init__(daemon=True)
        self.late = False
        self._process = process
        self._limit = limit
        self._stop_event = stop_event.get()
        self._ended = threading.Event()
        self.start()

    def run(self) -> None:
        deadline = time.monotonic() + self._limit
        while not self._ended.wait(0.25):
            self.late = time.monotonic() > deadline
            if self.late or (self._stop_event is not None and self._stop_event.is_set()):
                self._process.kill()
                return

    def end(self) -> None:
        self._ended.set()
        self.join()


def size_of(source: Path) -> int:
    """Bytes in a file, or in all files of a folder."""
    files = [source] if source.is_file() else [file for file in source.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _feed(pipe: IO[bytes], source: Path) -> None:
    if source.is_file():
        with source.open("rb") as content:
            shutil.copyfileobj(content, pipe)
        return
    # GNU's form, which busybox reads too. Owners are of no use elsewhere.
    with tarfile.open(fileobj=pipe, mode="w|", format=tarfile.GNU_FORMAT, dereference=True) as tarred:
        for file in sorted(source.rglob("*")):
            tarred.add(file, str(file.relative_to(source)), recursive=False, filter=_anyones)


def _anyones(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def find_program(name: str, package: str) -> str:
    """The program's path; MissingDependencyError, naming its package, when it isn't installed."""
    found = shutil.which(name)
    if found is None:
        raise MissingDependencyError(f"the command {name!r} is not installed", remedy=f"apt install {package}")
    return found

"""Files through a command that leads to a board, and what its complaints mean."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from edge_seg.errors import MissingDependencyError
from edge_seg.targets.link import failed

if TYPE_CHECKING:
    from edge_seg.targets.link import Link


def copy_through(
    command: Sequence[str], link: Link, *, stdin: Path | None = None, stdout: IO[bytes] | None = None
) -> None:
    """Runs a command of this machine to its end. ``stdin``: a file, or a folder of which a tar archive is made.

    Raises TargetError, with the connection's or the board's own words, when the command fails.
    """
    with tempfile.TemporaryFile() as words:
        source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
        options: dict[str, Any] = {"stdin": source, "stdout": stdout or words, "stderr": words}
        with subprocess.Popen(list(command), start_new_session=True, **options) as process:
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
        words.seek(0)
        said = words.read().decode(errors="replace").splitlines()[-20:]
    if code != 0:
        raise link.fault(code, said) or failed(link.name, said)


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

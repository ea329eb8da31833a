"""What any exception says to the user: exit code, message, remedy, and a code for scripts."""

from __future__ import annotations

import errno
import os

import click

from edge_seg.errors import EdgeSegError
from edge_seg.files import final_name
from edge_seg.install import missing_module, missing_system_library

INTERRUPTED = 130
TERMINATED = 143


def explain(problem: BaseException) -> tuple[int, EdgeSegError]:
    """The exit code and the user's message, remedy and code for any exception."""
    if isinstance(problem, EdgeSegError):
        return problem.exit_code, problem
    if isinstance(problem, click.ClickException):
        context = getattr(problem, "ctx", None)
        remedy = f"{context.command_path} --help shows how it is used" if context else ""
        return problem.exit_code, EdgeSegError(problem.format_message(), remedy=remedy, code="usage")
    if isinstance(problem, (KeyboardInterrupt, click.Abort)):
        return INTERRUPTED, EdgeSegError("stopped", code="interrupted")
    if isinstance(problem, SystemExit):
        code = problem.code if isinstance(problem.code, int) else 1
        return code, EdgeSegError("terminated", code="terminated")
    if isinstance(problem, ModuleNotFoundError) and problem.name:
        return 1, missing_module(problem.name)
    if isinstance(problem, ImportError) and (missing := missing_system_library(str(problem), problem.name or "")):
        return 1, missing
    if isinstance(problem, OSError) and problem.errno is not None:
        return 1, explain_os_error(problem)
    if isinstance(problem, OSError):  # numpy raises some without a number
        return 1, EdgeSegError(str(problem), code="os")
    if isinstance(problem, MemoryError):
        return 1, EdgeSegError("out of memory", remedy="use a smaller size or fewer images at a time", code="memory")
    return 1, EdgeSegError(
        f"unexpected {type(problem).__name__}: {problem}",
        remedy="this is a bug in edge-seg: please report it with what EDGE_SEG_TRACEBACK=1 adds to this message",
        code="bug",
    )


_OS_ERRORS = {
    errno.ENOSPC: ("disk full", "free some space, or write to another disk"),
    errno.EDQUOT: ("disk quota used up", "free some space, or write to another disk"),
    errno.EFBIG: ("file too large for this system's limits", "write to another disk, or raise `ulimit -f`"),
    errno.EROFS: ("read-only file system", "write to another folder"),
    errno.EACCES: ("permission denied", "change its permissions, or use another file or folder"),
    errno.EPERM: ("operation not permitted", "change its permissions, or use another file or folder"),
    errno.ENOENT: ("no such file or folder", "check the name"),
    errno.ENOTDIR: ("a file stands where a folder is needed", "check the name, or use another folder"),
    errno.EISDIR: ("a folder stands where a file is needed", "check the name, or use another file"),
    errno.EEXIST: ("exists already", "remove it, or use another name"),
}


def _no_current_folder() -> bool:
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def explain_os_error(problem: OSError) -> EdgeSegError:
    """The message for a failed system call, with the file that the user knows (not a partial file's name)."""
    assert problem.errno is not None
    message, remedy = _OS_ERRORS.get(problem.errno, (problem.strerror or str(problem), ""))
    if problem.filename is not None:
        message = f"{final_name(os.fsdecode(problem.filename))}: {message}"
    elif problem.errno == errno.ENOENT and _no_current_folder():
        message, remedy = "the current folder is no longer there", "change to another folder (`cd`)"
    elif problem.strerror not in (None, os.strerror(problem.errno)):  # Python's own words tell more
        message = str(problem.strerror)
        if "temporary directory" in message:
            remedy = "make one of them writable, or set TMPDIR to a folder that is"
    return EdgeSegError(message, remedy=remedy, code=errno.errorcode.get(problem.errno, "os").lower())

"""Python processes that run our code and nobody else's: never what lies in the current folder.

``python -m`` and ``python -c`` put the current folder before all others on the import path: a user's ``convert.py``,
``bench.py`` or ``json.py`` there would run in place of the module of that name. Python 3.11 has an option against it
(``-P``), 3.10 has only ``-I``, which ignores PYTHONPATH and the user's packages as well.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import runpy
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

PACKAGES = Path(__file__).resolve().parents[2]
"""The folder that holds edge_seg, convert and bench: a checkout, or site-packages."""

# sys needs no file. Its path begins with "" for the current folder, unless PYTHONSAFEPATH is set.
_SAFE = "import sys\nif sys.path[:1] == ['']: del sys.path[0]\n"
_OURS = _SAFE + "sys.path.insert(0, sys.argv[1])\nimport edge_seg\ndel sys.path[0]\n"
_MODULE = _OURS + "from edge_seg.process.python import run\nrun(sys.argv[2], sys.argv[3:])\n"
_BOUND = _OURS + (
    "from edge_seg.process.python import die_with_parent, run\n"
    "die_with_parent(int(sys.argv[2]))\nrun(sys.argv[3], sys.argv[4:])\n"
)
_PR_SET_PDEATHSIG = 1


def module_command(module: str, *arguments: str | Path) -> list[str]:
    """The command that does what ``python -m module arguments…`` does, with a ``module`` of ours."""
    return [sys.executable, "-c", _MODULE, str(PACKAGES), module, *map(str, arguments)]


def bound_command(module: str, *arguments: str | Path) -> list[str]:
    """:func:`module_command` of a child that ends with this process, or with the thread that starts it."""
    return [sys.executable, "-c", _BOUND, str(PACKAGES), str(os.getpid()), module, *map(str, arguments)]


def die_with_parent(parent: int | None = None) -> None:
    """Lets the kernel kill this process when its parent ends, which SIGKILL keeps from ending it itself.

    ``parent``: the process that started this one; if it has gone already, this one ends here.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def code_command(code: str, *arguments: str | Path) -> list[str]:
    """The command that does what ``python -c code arguments…`` does."""
    return [sys.executable, "-c", _SAFE + code, *map(str, arguments)]


def run(module: str, arguments: Sequence[str]) -> None:
    """Turns this process into ``python -m module arguments…``."""
    adopt(module)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def adopt(module: str) -> None:
    """Makes sure that the package of ``module`` is the one beside edge_seg, whatever the import path holds before it.

    ``convert`` and ``bench`` are names that others use too. Does nothing for a package that is imported already, or
    that isn't ours.
    """
    name = module.partition(".")[0]
    start = PACKAGES / name / "__init__.py"
    if name not in ("convert", "bench") or name in sys.modules or not start.is_file():
        return
    spec = importlib.util.spec_from_file_location(name, start, submodule_search_locations=[str(start.parent)])
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    try:
        spec.loader.exec_module(package)
    except BaseException:
        del sys.modules[name]
        raise

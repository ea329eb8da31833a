"""How this package was installed, and so the commands that add what is missing: remedies that work as they stand."""

from __future__ import annotations

import contextlib
import json
import operator
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from edge_seg.errors import MissingDependencyError

PACKAGE = "edge-seg"
CHECKOUT = Path(__file__).resolve().parents[1]

EXTRAS = {
    "paddle": "train",
    "rich": "train",
    "tensorboardX": "tensorboard",
    "yaml": "train",
    "paddlelite": "lite",
    "faster_coco_eval": "train",
    "ncnn": "ncnn",
    "onnxruntime": "onnx",
    "onnx": "onnx-export",
    "cryptography": "sign",
    "jinja2": "report",
    "matplotlib": "report",
    "torch": "peers",
    "torchvision": "peers",
}
"""The extra of setup.py that brings a module; one that isn't named here comes with the base."""

# Debian's and Ubuntu's packages of the system's libraries that OpenCV's wheels with a display need.
_DEBIAN = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1",
    "libxcb.so.1": "libxcb1",
}
_SYSTEM_LIBRARY = re.compile(r"(lib[^\s:/]+\.so[\d.]*): cannot open shared object file")


def pip_install(extra: str = "") -> str:
    """The command that installs this package with its ``extra``, from where it was installed before."""
    return f"{pip()} install {_source(extra)}"


def pip() -> str:
    """``pip`` where that is this Python's, else this Python's in full."""
    found = shutil.which("pip")
    # Not resolved: an environment's python is a link to the one that made it.
    if found and Path(found).parent == Path(sys.executable).parent:
        return "pip"
    return f"{shlex.quote(sys.executable or 'python3')} -m pip"


def _source(extra: str) -> str:
    brackets = f"[{extra}]" if extra else ""
    origin = _origin()
    if origin is None:
        if (CHECKOUT / "setup.py").is_file():  # run from a checkout, not installed
            return _of_folder(CHECKOUT, brackets, editable=True)
        return _quoted(PACKAGE + brackets)
    from urllib.parse import unquote, urlsplit

    url = str(origin.get("url", ""))
    if "vcs_info" in origin:
        vcs = origin["vcs_info"]
        assert isinstance(vcs, dict)
        return _quoted(f"{PACKAGE}{brackets} @ {vcs.get('vcs', 'git')}+{url}")
    path = Path(unquote(urlsplit(url).path)) if url.startswith("file:") else None
    if path is None and url:
        return _quoted(f"{PACKAGE}{brackets} @ {url}")
    if path is not None and (path / "setup.py").is_file():
        folder = origin.get("dir_info")
        return _of_folder(path, brackets, editable=isinstance(folder, dict) and bool(folder.get("editable")))
    if path is not None and path.is_file():
        return _quoted(f"{path}{brackets}")
    # Installed from a folder or wheel that is gone: the libraries themselves can still be had.
    return " ".join(map(_quoted, _requirements(extra))) or _quoted(PACKAGE + brackets)


def _origin() -> dict[str, object] | None:
    """What pip noted of the source (PEP 610), empty after an installation from an index; None if not installed."""
    from importlib import metadata

    try:
        noted = metadata.distribution(PACKAGE).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    try:
        origin = json.loads(noted or "{}")
    except ValueError:
        return {}
    # Without a note it came from an index, or setup.py's own metadata lies in a checkout that isn't installed.
    if not noted and (CHECKOUT / "setup.py").is_file():
        return None
    return origin if isinstance(origin, dict) else {}


def _of_folder(folder: Path, brackets: str, editable: bool) -> str:
    try:
        here = Path.cwd() == folder
    except OSError:
        here = False
    return ("-e " if editable else "") + _quoted(f"{'.' if here else folder}{brackets}")


def _requirements(extra: str) -> list[str]:
    """What the metadata asks for with ``extra``, or without any, for this Python."""
    from importlib import metadata

    found = []
    for line in metadata.distribution(PACKAGE).requires or []:
        wanted, _, marker = (part.strip() for part in line.partition(";"))
        named = re.search(r"""extra\s*==\s*['"]([\w-]+)['"]""", marker)
        if (named[1] if named else "") == extra and _holds(marker):
            found.append(wanted)
    return found


def _holds(marker: str) -> bool:
    """Whether all that a line of setup.py says of the Python version is true of this one."""
    tests = {"<": operator.lt, ">=": operator.ge, "==": operator.eq}
    said = re.findall(r"""python_version\s*(<|>=|==)\s*['"](\d+)\.(\d+)['"]""", marker)
    return all(tests[sign](sys.version_info[:2], (int(major), int(minor))) for sign, major, minor in said)


def _quoted(text: str) -> str:
    return f"'{text}'" if "'" not in text and any(letter in text for letter in "[]<>=@ ") else shlex.quote(text)


def missing_module(name: str) -> MissingDependencyError:
    """The error for a Python module that isn't installed."""
    top = name.partition(".")[0]
    return MissingDependencyError(
        f"the Python library {top!r} is not installed", remedy=pip_install(EXTRAS.get(top, ""))
    )


@contextlib.contextmanager
def explained_imports() -> Iterator[None]:
    """Within it, an import that fails for want of a library says what brings it: MissingDependencyError."""
    try:
        yield
    except ModuleNotFoundError as problem:
        raise missing_module(problem.name or "") from problem
    except ImportError as problem:
        if missing := missing_system_library(str(problem), problem.name or ""):
            raise missing from problem
        raise


def missing_system_library(problem: str, module: str = "") -> MissingDependencyError | None:
    """The error for an import that failed for want of one of the system's libraries; None if it failed otherwise.

    ``problem`` is the ImportError's text, such as ``libGL.so.1: cannot open shared object file: …``.
    """
    found = _SYSTEM_LIBRARY.search(problem)
    if found is None:
        return None
    library = found[1]
    remedies = []
    package = _DEBIAN.get(library)
    if package and shutil.which("apt"):
        remedies.append(f"{'' if os.geteuid() == 0 else 'sudo '}apt install {package}")
    if package or module.partition(".")[0] == "cv2":
        headless = f"{pip()} uninstall -y opencv-python && {pip()} install opencv-python-headless"
        remedies.append(f"take OpenCV's build for machines without a display: {headless}")
    what = "OpenCV" if package else module or "a Python library"
    return MissingDependencyError(
        f"{what} can't be loaded: this system lacks the library {library}",
        remedy=", or ".join(remedies) or "install the system's package that holds it",
        code="missing-system-library",
    )

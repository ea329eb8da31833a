"""Remedies name commands that work: as the package was installed here, and for a system that lacks a library."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from edge_seg import install
from tests.conftest import ROOT, Finished

REQUIRES = ["numpy<3,>=1.23.5", "click", "onnxruntime>=1.19; extra == 'onnx'", "onnx>=1.17 ; extra == 'onnx-export'"]
NO_LIBGL = "libGL.so.1: cannot open shared object file: No such file or directory"


class Installed:
    """A distribution with a note of its source (PEP 610)."""

    requires = REQUIRES

    def __init__(self, noted: dict[str, object] | None) -> None:
        self._noted = noted

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self._noted is None else json.dumps(self._noted)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[dict[str, object] | None], None]:
    """Says how the package was installed; away from this checkout, and with pip of this Python on the path."""
    monkeypatch.setattr(install, "CHECKOUT", tmp_path / "site-packages")
    monkeypatch.setattr(install, "pip", lambda: "pip")

    def note(noted: dict[str, object] | None) -> None:
        monkeypatch.setattr(metadata, "distribution", lambda name: Installed(noted))

    return note


def test_a_checkout(installed: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = tmp_path / "my checkout"
    checkout.mkdir()
    (checkout / "setup.py").touch()
    url = f"file://{tmp_path}/my%20checkout"
    installed({"url": url, "dir_info": {"editable": True}})
    assert install.pip_install("train") == f"pip install -e '{checkout}[train]'"
    installed({"url": url, "dir_info": {}})
    assert install.pip_install("train") == f"pip install '{checkout}[train]'"
    monkeypatch.chdir(checkout)
    assert install.pip_install("train") == "pip install '.[train]'"
    assert install.pip_install() == "pip install ."
    monkeypatch.setattr(install, "CHECKOUT", checkout)
    installed(None)  # run from the checkout, where pip installed nothing
    assert install.pip_install("train") == "pip install -e '.[train]'"


def test_a_wheel_a_repository_and_an_index(installed: Callable[..., None], tmp_path: Path) -> None:
    wheel = tmp_path / "edge_seg-0.1.0-py3-none-any.whl"
    wheel.touch()
    installed({"url": wheel.as_uri(), "archive_info": {}})
    assert install.pip_install("sign") == f"pip install '{wheel}[sign]'"
    wheel.unlink()  # the libraries themselves then
    assert install.pip_install("onnx") == "pip install 'onnxruntime>=1.19'"
    assert install.pip_install() == "pip install 'numpy<3,>=1.23.5' click"
    installed({"url": "ssh://host/edge-seg", "vcs_info": {"vcs": "git", "commit_id": "1"}})
    assert install.pip_install("sign") == "pip install 'edge-seg[sign] @ git+ssh://host/edge-seg'"
    installed(None)
    assert install.pip_install("sign") == "pip install 'edge-seg[sign]'"


def test_pip_is_that_of_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(sys.executable).parent
    monkeypatch.setattr(shutil, "which", lambda name: str(folder / name))
    assert install.pip() == "pip"
    for elsewhere in ("/elsewhere/pip", None):
        monkeypatch.setattr(shutil, "which", lambda name, found=elsewhere: found)
        assert install.pip() == f"{sys.executable} -m pip"


def test_extras_exist_and_bring_their_module() -> None:
    code = (ROOT / "setup.py").read_text()
    for extra in set(install.EXTRAS.values()):
        assert f'"{extra}": ' in code
    assert "train" in install.missing_module("paddle.nn").remedy
    assert "'" not in install.missing_module("click").remedy.rpartition("install")[2].replace(str(ROOT), "")


def test_no_remedy_asks_a_registry_for_this_package() -> None:
    """It isn't on one; :func:`install.pip_install` knows what to install in its place."""
    code = [file for folder in ("edge_seg", "convert", "bench") for file in (ROOT / folder).rglob("*.py")]
    pages = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]
    asks = re.compile(r"pip3? install[^\n]*[ '\"](edge[-_]seg)(\[|['\" ]|$)", re.MULTILINE)
    assert [file for file in (*code, *pages) if asks.search(file.read_text())] == []


def test_a_system_without_libgl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    missing = install.missing_system_library(NO_LIBGL, "cv2")
    assert missing is not None
    assert "lacks the library libGL.so.1" in missing.message
    assert "apt install libgl1, or " in missing.remedy
    assert "install opencv-python-headless" in missing.remedy
    other = install.missing_system_library("libcudnn.so.9: cannot open shared object file: No such file", "onnxruntime")
    assert other is not None
    assert "libcudnn.so.9" in other.message
    assert "opencv" not in other.remedy
    assert install.missing_system_library("undefined symbol: x", "cv2") is None


@pytest.mark.parametrize("words", [["data", "check", "x"], ["predict", "{bundle}", "x.png", "--out", "o"]])
def test_commands_without_libgl(
    edge_seg: Callable[..., Finished], tiny_bundles: Path, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "cv2.py").write_text(f"raise ImportError({NO_LIBGL!r}, name='cv2')")
    (tmp_path / "x").mkdir()
    words = [word.format(bundle=tiny_bundles / "onnx-fp32") for word in words]
    done = edge_seg(*words, "--json", env={"PYTHONPATH": f"{tmp_path}:{ROOT}"}, cwd=tmp_path / "x")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "missing-system-library", done.stderr
    assert "opencv-python-headless" in done.stderr


def test_the_library_without_libgl(tmp_path: Path) -> None:
    """In a process of its own: modules that are imported anew leave the others' names behind."""
    (tmp_path / "cv2.py").write_text(f"raise ImportError({NO_LIBGL!r}, name='cv2')")
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import edge_seg
from edge_seg.errors import EdgeSegError
try:
    edge_seg.Segmenter
except EdgeSegError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingDependencyError")
    assert "libGL.so.1" in done.stdout

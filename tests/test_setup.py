"""setup.py: the metadata of the package, with and without a repository that it was cloned from."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import setuptools

from tests.conftest import ROOT

README = """# edge-seg

![found](docs/demo.jpg) See [docs](docs/README.md#a), [lint](https://a.b/c) and [below](#below).
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "setup.py", tmp_path)
    (tmp_path / "edge_seg").mkdir()
    shutil.copy(ROOT / "edge_seg/__init__.py", tmp_path / "edge_seg")
    (tmp_path / "README.md").write_text(README)
    return tmp_path


def metadata_of(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    told: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **words: told.update(words))
    runpy.run_path(str(checkout / "setup.py"))
    return told


@pytest.mark.parametrize(
    "origin",
    [
        "https://code.example.org/tools/edge-seg.git",
        "https://user:secret@code.example.org/tools/edge-seg",
        "git@code.example.org:tools/edge-seg.git",
        "ssh://git@code.example.org:2222/tools/edge-seg.git",
    ],
)
def test_a_clone(checkout: Path, monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    subprocess.run(["git", "init", "-q", checkout], check=True)
    subprocess.run(["git", "-C", checkout, "remote", "add", "origin", origin], check=True)
    told = metadata_of(checkout, monkeypatch)
    assert told["url"] == "https://code.example.org/tools/edge-seg"
    assert told["project_urls"]["Issues"] == "https://code.example.org/tools/edge-seg/issues"
    assert told["long_description"] == README.replace(
        "(docs/demo.jpg)", "(https://code.example.org/tools/edge-seg/raw/HEAD/docs/demo.jpg)"
    ).replace("(docs/README.md#a)", "(https://code.example.org/tools/edge-seg/blob/HEAD/docs/README.md#a)")


@pytest.mark.parametrize("origin", [None, "/srv/git/edge-seg", "../edge-seg"])
def test_without_a_page_no_link_is_broken(checkout: Path, monkeypatch: pytest.MonkeyPatch, origin: str | None) -> None:
    if origin:
        subprocess.run(["git", "init", "-q", checkout], check=True)
        subprocess.run(["git", "-C", checkout, "remote", "add", "origin", origin], check=True)
    told = metadata_of(checkout, monkeypatch)
    assert told["url"] is None
    assert told["project_urls"] == {}
    assert told["long_description"] == "# edge-seg\n\n See docs, [lint](https://a.b/c) and [below](#below).\n"


def test_extras(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extras = metadata_of(checkout, monkeypatch)["extras_require"]

    def names(extra: str) -> set[str]:
        return {re.split(r"[<>=; ]", line)[0] for line in extras[extra]}

    assert names("onnx") == {"onnxruntime"}
    assert names("onnx-export") == {"onnxruntime", "onnx"}
    assert names("report") == {"jinja2", "matplotlib"}
    assert not names("all") & names("dev")
    assert names("all") == set().union(*map(names, extras.keys() - {"all", "dev", "peers"}))
    assert all(re.search(r">=|==|<", line) for lines in extras.values() for line in lines)

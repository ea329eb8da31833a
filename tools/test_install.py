"""Installs the package as a user would, with every CPython that setup.py allows, and tries it: ``make test-install``.

For each CPython 3.10 to 3.13 found here there are two environments: one with the newest versions that setup.py allows,
one with the lowest. In each, the installed package (not this checkout) checks a dataset, reads labelme's files, runs,
measures and checks a bundle, and is used as a library. In two more, with
everything ('[all]'), it trains and converts as well; in one more it trains with '[train]' alone.
``--quick`` tries one environment with the newest and one with the lowest versions.

Environments are kept in .test-install: those with the newest versions for a week, the others until setup.py changes.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".test-install"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
VERSIONS = ("newest", "lowest")
RUN_EXTRAS = ("onnx", "sign", "report")
LITE_PYTHON = "3.10"
"""The newest for which paddlelite has wheels; on others `convert` makes itself an environment with this one."""
TRAIN_PYTHON = "3.12"
"""Where '[train]' is tried alone, as '[all]' hides what it lacks; environments of older Pythons hold setuptools."""
LIMIT_S = 600

# The model that all environments run is made by this checkout's own environment, which has paddle.
MODEL = ("mask_rcnn_tiny_fpn", "--random-weights", "--seed", "1", "--classes", "3", "--size", "128")


@dataclass(frozen=True)
class Case:
    """One environment: ``python`` is "3.12", ``versions`` "newest" or "lowest"."""

    python: str
    versions: str
    extras: tuple[str, ...] = RUN_EXTRAS

    @property
    def name(self) -> str:
        more = "" if self.extras == RUN_EXTRAS else "-" + "-".join(self.extras)
        return f"{self.python}-{self.versions}{more}"


class Failure(Exception):
    """A step whose outcome isn't the expected one."""


def cases(quick: bool, pythons: Sequence[str]) -> list[Case]:
    """What to try with the ``pythons`` that are here."""
    if not pythons:
        return []
    if quick:
        return [Case(pythons[-1], "newest"), Case(pythons[0], "lowest")]
    chosen = [Case(python, versions) for python in pythons for versions in VERSIONS]
    chosen += [Case(python, versions, ("all",)) for python in pythons for versions in VERSIONS]
    chosen += [Case(python, "newest", ("train",)) for python in pythons if python == TRAIN_PYTHON]
    return chosen


def find_python(version: str) -> Path | None:
    """A CPython of that version that can make environments, among pyenv's, uv's and the system's."""
    for candidate in _candidates(version):
        code = "import sys, ensurepip, venv, ssl; print(sys.implementation.name, *sys.version_info[:2])"
        try:
            done = subprocess.run([candidate, "-I", "-c", code], capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.stdout.split() == ["cpython", *version.split(".")]:
            return Path(candidate)
    return None


def _candidates(version: str) -> Iterator[str]:
    roots = [os.environ.get("PYENV_ROOT"), str(Path.home() / ".pyenv")]
    for root in filter(None, roots):
        yield from sorted(map(str, Path(root).glob(f"versions/{version}*/bin/python{version}")))
    # A shim of pyenv is there for versions that aren't activated as well; it fails when run, and the next is tried.
    yield from filter(None, [shutil.which(f"python{version}")])
    yield from (f"{folder}/python{version}" for folder in ("/usr/local/bin", "/usr/bin", "/opt/homebrew/bin"))
    if uv := shutil.which("uv"):
        done = subprocess.run([uv, "python", "find", "--no-project", version], capture_output=True, text=True)
        yield from done.stdout.splitlines()[:1]


def requirements() -> dict[str, list[str]]:
    """setup.py's requirements by extra; "" is the base."""
    code = (
        "import json, setuptools, runpy\n"
        "setuptools.setup = lambda **words: print(json.dumps("
        "{'': words['install_requires'], **words['extras_require']}))\n"
        "runpy.run_path('setup.py')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def lowest(wanted: Sequence[str]) -> list[str]:
    """Pins at the lower ends: ``numpy>=2.1; python_version >= '3.13'`` to ``numpy==2.1; python_version >= '3.13'``.

    A bound for some Pythons only is the highest of its project's, and replaces the general one there.
    """
    pins: dict[str, list[tuple[str, str]]] = {}
    for line in wanted:
        bound, _, marker = (part.strip() for part in line.partition(";"))
        found = re.match(r"([\w.-]+)\s*(?:>=|==)\s*([\w.]+)", bound)
        if found:  # a bare upper limit, such as numpy<2, is no lower end
            pins.setdefault(found[1], []).append((found[2], marker))
    lines = []
    for project, bounds in pins.items():
        markers = [f"({marker})" for _, marker in bounds if marker]
        for version, marker in bounds:
            # No "not" in markers: the operators are turned round.
            where = marker or " and ".join(_opposite(other) for other in markers)
            lines.append(f"{project}=={version}" + (f"; {where}" if where else ""))
    return lines


def _opposite(marker: str) -> str:
    turned = {"==": "!=", ">=": "<"}
    found = re.fullmatch(r"\(python_version (==|>=) ('[\d.]+')\)", marker)
    if found is None:
        raise Failure(f"setup.py: {marker}: only markers such as python_version >= '3.13' are understood here")
    return f"python_version {turned[found[1]]} {found[2]}"


class Environment:
    """One of the environments, with the package installed into it."""

    def __init__(self, case: Case, base: Path, wanted: dict[str, list[str]]) -> None:
        self.case = case
        self.folder = CACHE / case.name
        self.python = self.folder / "bin/python"
        self._base = base
        self._wanted = wanted

    def install(self, wheel: Path) -> None:
        """Makes the environment where it isn't there or is out of date, and installs ``wheel`` anew."""
        ready = self.folder / "ready"
        if not ready.exists() or ready.read_text() != self._key():
            shutil.rmtree(self.folder, ignore_errors=True)
            run([self._base, "-m", "venv", self.folder])
            pins = self.folder / "lowest.txt"
            pins.write_text("\n".join(lowest(self._lines()) if self.case.versions == "lowest" else []) + "\n")
            # What has to be compiled isn't what users get, and may become another thing than the wheel was.
            self._pip(
                "install", "--only-binary", ":all:", "--constraint", pins, f"{wheel}[{','.join(self.case.extras)}]"
            )
            ready.write_text(self._key())
        self._pip("install", "--no-deps", "--force-reinstall", wheel)
        self._pip("check")

    def edge_seg(self, *words: str | Path, exit_codes: tuple[int, ...] = (0,)) -> str:
        """Runs the installed command and returns what it prints."""
        return run([self.folder / "bin/edge-seg", *words], exit_codes)

    def json(self, *words: str | Path, exit_codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
        """The same with ``--json``."""
        answer: dict[str, Any] = json.loads(self.edge_seg(*words, "--json", exit_codes=exit_codes))
        return answer

    def versions(self) -> str:
        """``click 8.5.1, numpy 2.5.5, …``: of the libraries that setup.py names."""
        named = {name.lower() for name in re.findall(r"^[\w.-]+", "\n".join(self._lines()), re.MULTILINE)}
        listed = json.loads(run([self.python, "-m", "pip", "list", "--format", "json"]))
        return ", ".join(f"{one['name']} {one['version']}" for one in listed if one["name"].lower() in named)

    def _lines(self) -> list[str]:
        return [line for extra in ("", *self.case.extras) for line in self._wanted[extra]]

    def _key(self) -> str:
        parts = [str(self._base), str(self.folder), *self._lines()]
        if self.case.versions == "newest":
            parts.append(datetime.date.today().strftime("%G week %V"))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _pip(self, *words: str | Path) -> str:
        return run([self.python, "-m", "pip", "--disable-pip-version-check", "--quiet", *words])


def run(command: Sequence[str | Path], exit_codes: tuple[int, ...] = (0,)) -> str:
    """Runs ``command`` in the current folder, without this checkout on the path; what it prints on stdout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "EDGE_SEG"))}
    environment.pop("PIP_CONSTRAINT", None)
    environment["EDGE_SEG_CACHE"] = str(CACHE / "cache")
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise Failure(f"{' '.join(words)}\n  no end within {LIMIT_S} s") from None
    if done.returncode not in exit_codes:
        raise Failure(f"{' '.join(words)}\n  exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def expect(what: str, found: object, wanted: object) -> None:
    """Raises :class:`Failure` where they differ."""
    if found != wanted:
        raise Failure(f"{what}: found {found!r}, expected {wanted!r}")


# What is tried. Each function works in a folder of its own, which holds the dataset "shapes" and the bundle "bundle".


def golden() -> list[dict[str, Any]]:
    """The detections that the bundle's reference result holds."""
    instances: list[dict[str, Any]] = json.loads(Path("bundle/golden/expected.json").read_text())["instances"]
    return instances


def try_data(environment: Environment) -> None:
    """``data synth`` and ``data check``."""
    environment.edge_seg("data", "synth", "drawn", "--images", "4", "--size", "96")
    environment.edge_seg("data", "check", "drawn")
    environment.edge_seg("data", "check", "shapes")


def try_labelme(environment: Environment) -> None:
    """``data labelme`` with two images, one of which has an outline."""
    images = sorted(Path("shapes/images").iterdir())[:2]
    Path("annotated").mkdir()
    for number, image in enumerate(images):
        shutil.copy(image, "annotated")
        outline = {"label": "cat", "shape_type": "polygon", "points": [[10, 10], [60, 12], [40, 70]]}
        content = {"imagePath": image.name, "imageHeight": 128, "imageWidth": 128, "shapes": [outline][number:]}
        Path("annotated", image.stem + ".json").write_text(json.dumps(content))
    environment.edge_seg("data", "labelme", "annotated", "dataset", "--val", "0.5")
    environment.edge_seg("data", "check", "dataset", exit_codes=(0, 1))  # one half has no outline to train on
    found = [len(json.loads(Path("dataset", f"{part}.json").read_text())["annotations"]) for part in ("train", "val")]
    expect("annotations of dataset", sum(found), 1)


def try_predict(environment: Environment) -> None:
    """``predict`` finds in the bundle's golden image what paddle found there."""
    environment.edge_seg("predict", "bundle", "bundle/golden/image.png", "--out", "predicted")
    found = json.loads(Path("predicted/predictions.json").read_text())
    categories = json.loads(Path("bundle/manifest.json").read_text())["category_ids"]
    wanted = [(categories[one["class"]], one["score"]) for one in golden()]
    expect("detections", len(found), len(wanted))
    ours = sorted((one["category_id"], one["score"]) for one in found)
    expect("categories", [category for category, _ in ours], sorted(category for category, _ in wanted))
    for (_, score), (_, reference) in zip(ours, sorted(wanted), strict=True):
        if abs(score - reference) > 1e-3:
            raise Failure(f"score {score}, expected {reference}")


def try_bench(environment: Environment) -> None:
    """``bench run`` and the table of its record."""
    environment.edge_seg("bench", "run", "bundle", "--repeat", "3", "--warmup", "1", "--threads", "1")
    if "onnx-fp32" not in environment.edge_seg("bench", "table", "records.jsonl"):
        raise Failure("bench table doesn't show the bundle that was measured")


def try_bundle(environment: Environment) -> None:
    """``bundle check``, ``show``, ``keygen``, ``sign``, ``pack`` and ``unpack``."""
    environment.edge_seg("bundle", "check", "bundle")
    environment.edge_seg("bundle", "show", "bundle")
    environment.edge_seg("bundle", "keygen", "maker.key")
    shutil.copytree("bundle", "signed")
    environment.edge_seg("bundle", "sign", "signed", "--key", "maker.key")
    environment.edge_seg("bundle", "check", "signed", "--public-key", "maker.key.pub")
    environment.edge_seg("bundle", "pack", "signed", "--out", "signed.tar.gz")
    environment.edge_seg("bundle", "unpack", "signed.tar.gz", "--out", "unpacked")


def try_library(environment: Environment) -> None:
    """All names of the package, and a segmenter on an array and on a file."""
    program = (
        "import cv2, edge_seg\n"
        "for name in edge_seg.__all__:\n"
        "    getattr(edge_seg, name)\n"
        "with edge_seg.Segmenter('bundle') as segmenter:\n"
        "    found = segmenter('bundle/golden/image.png')\n"
        "    again = segmenter(cv2.imread('bundle/golden/image.png'))\n"
        "print(len(found.scores), len(again.scores), edge_seg.__file__)\n"
    )
    words = run([environment.python, "-I", "-c", program]).split()
    count = str(len(golden()))
    expect("detections", words[:2], [count, count])
    if not Path(words[2]).is_relative_to(environment.folder):
        raise Failure(f"edge_seg was imported from {words[2]}, not from {environment.folder}")


def try_machine(environment: Environment) -> None:
    """``doctor`` judges this environment; ``zoo``, ``recipes`` and ``--help`` answer."""
    environment.edge_seg("doctor", "--role", "run", "--role", "measure")
    for word in ("zoo", "recipes", "--help", "--version"):
        environment.edge_seg(word)


def try_train(environment: Environment) -> None:
    """A short training, and ``eval`` of it."""
    words = ["--data", "shapes", "--out", "run", "--epochs", "1", "--size", "64", "--batch", "2"]
    environment.edge_seg("train", "mask_rcnn_tiny_fpn", *words)
    environment.edge_seg("eval", "run", "--data", "shapes")


def try_convert(environment: Environment) -> None:
    """A conversion to Paddle Lite, Paddle Inference and ONNX Runtime, each checked by running it."""
    recipes = ["--recipe", "arm-fp32,x86-fp32,cpu-fp32,onnx-fp32", "--out", "bundles"]
    if environment.case.python != LITE_PYTHON and find_python(LITE_PYTHON) is None:
        print(f"Skipped: a conversion, which needs CPython {LITE_PYTHON}", flush=True)
        return
    environment.edge_seg("convert", *MODEL, *recipes)
    name = "x86-fp32" if environment.case.python == LITE_PYTHON else "onnx-fp32"
    environment.edge_seg("predict", f"bundles/{name}", f"bundles/{name}/golden/image.png", "--out", "found")


RUNNING = (try_data, try_labelme, try_predict, try_bench, try_bundle, try_library, try_machine)
STEPS: dict[tuple[str, ...], tuple[Callable[[Environment], None], ...]] = {
    RUN_EXTRAS: RUNNING,
    ("train",): (try_data, try_train),
    ("all",): (*RUNNING, try_train, try_convert),
}


def build(folder: Path) -> Path:
    """The package's wheel, built from a copy: a build folder in the checkout may hold modules that are gone."""
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", ".*", "build", "*.egg-info", "tests")
    for name in ("edge_seg", "convert", "bench"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, source])
    return next(folder.glob("*.whl"))


def make_inputs(folder: Path) -> None:
    """The dataset and the bundle that every environment works with."""
    edge_seg = Path(sys.executable).with_name("edge-seg")
    run([edge_seg, "data", "synth", folder / "shapes", "--images", "6", "--size", "128", "--seed", "1"])
    run([edge_seg, "convert", *MODEL, "--recipe", "onnx-fp32", "--out", folder / "bundle"])


def try_case(environment: Environment, wheel: Path, inputs: Path) -> list[str]:
    """Installs and tries; the failures, each with its step."""
    case = environment.case
    begun = time.monotonic()
    try:
        environment.install(wheel)
        print(f"{case.name}: {environment.versions()}", flush=True)
    except Failure as problem:
        return [f"{case.name}: install: {problem}"]
    failures = []
    for step in STEPS[case.extras]:
        folder = CACHE / "work"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(inputs, folder)
        os.chdir(folder)
        try:
            step(environment)
        except Failure as problem:
            failures.append(f"{case.name}: {step.__name__}: {problem}")
            print(f"{case.name}: {step.__name__} failed", flush=True)
        finally:
            os.chdir(ROOT)
    said = f"{len(failures)} of {len(STEPS[case.extras])} steps failed" if failures else "works"
    print(f"{case.name}: {said} ({time.monotonic() - begun:.0f} s)", flush=True)
    return failures


def main() -> int:
    """Exit code 0 when everything that could be tried works."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one environment of each kind")
    parser.add_argument("--python", action="append", choices=PYTHONS, help="only this version; may be repeated")
    parser.add_argument(
        "--only",
        action="append",
        metavar="TEXT",
        help="of these, the environments with TEXT in the name; may be repeated",
    )
    arguments = parser.parse_args()
    found = {version: find_python(version) for version in arguments.python or PYTHONS}
    for version, python in found.items():
        if python is None:
            print(f"Skipped: Python {version} isn't on this machine", flush=True)
    wanted = requirements()
    chosen = cases(arguments.quick, [version for version, python in found.items() if python is not None])
    chosen = [case for case in chosen if any(text in case.name for text in arguments.only or [""])]
    inputs = CACHE / "inputs"
    built = CACHE / "wheel"
    failures: list[str] = []
    for folder in (inputs, built):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    try:
        make_inputs(inputs)
        wheel = build(built)
    except Failure as problem:
        print(problem, file=sys.stderr)
        return 1
    for case in chosen:
        base = found[case.python]
        assert base is not None
        failures += try_case(Environment(case, base, wanted), wheel, inputs)
    for failure in failures:
        print(f"\nFAILED {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""Every dependency of a board has a wheel for 64-bit Arm: python -m tools.board_wheels [FOLDER]

For CPython 3.11 and 3.13 (Raspberry Pi OS 12 and 13) pip resolves the base install and the engines that a board can
have, as such a machine would, and takes wheels alone. Without FOLDER nothing is kept.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

PYTHONS = {"3.11": 36, "3.13": 41}
"""Raspberry Pi OS 12 and 13: their Python, and the minor version of their glibc 2."""
EXTRAS = ("onnx", "ncnn", "sign", "report")
_PLATFORMS = ("manylinux2014", "manylinux_2_17", "manylinux_2_24", "manylinux_2_26", "manylinux_2_27", "manylinux_2_28")


def requirements(python: str, extras: Sequence[str]) -> list[str]:
    """What the package needs there. pip itself would read the markers for this machine's Python."""
    system = {"python_version": python, "python_full_version": f"{python}.0", "platform_machine": "aarch64"}
    found = []
    for line in metadata.requires("edge-seg") or []:
        one = Requirement(line)
        if one.marker is None or any(one.marker.evaluate({**system, "extra": extra}) for extra in ("", *extras)):
            one.marker = None
            found.append(str(one).replace(" ", ""))
    return sorted({line.partition(";")[0] for line in found if "[" not in line})


def pip_options(python: str) -> list[str]:
    newer = (f"manylinux_2_{minor}" for minor in range(29, PYTHONS[python] + 1))
    platforms = [word for name in (*_PLATFORMS, *newer) for word in ("--platform", f"{name}_aarch64")]
    return ["--python-version", python, "--implementation", "cp", "--only-binary=:all:", *platforms]


def download(folder: Path, python: str, extras: Sequence[str]) -> None:
    """Puts the wheels into ``folder``. Raises CalledProcessError when one can't be had."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "download", "--dest", str(folder)]
    subprocess.run([*command, *pip_options(python), *requirements(python, extras)], check=True)


def check(python: str, extras: Sequence[str]) -> bool:
    """Whether all wheels can be had; pip says which can't."""
    with tempfile.TemporaryDirectory(prefix="edge-seg-") as folder:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "install", "--dry-run"]
        words = [*command, "--ignore-installed", "--target", folder, *pip_options(python)]
        return subprocess.run([*words, *requirements(python, extras)], check=False).returncode == 0


def main() -> int:
    failed = False
    for python in PYTHONS:
        if len(sys.argv) == 2:
            download(Path(sys.argv[1]) / python, python, EXTRAS)
            good = True
        else:
            good = check(python, EXTRAS)
        told = "every wheel is there" if good else "wheels are missing"
        print(f"CPython {python}, aarch64, {', '.join(EXTRAS)}: {told}")
        failed = failed or not good
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

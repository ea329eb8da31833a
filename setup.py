"""The package: ``pip install .`` for a board, ``pip install '.[all]'`` for the machine that trains and converts."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "edge_seg/__init__.py").read_text(), re.MULTILINE)
assert VERSION is not None

# numpy <2 because paddlepaddle 2.6.2 was built against 1.x. opt needs the .pdmodel that 2.6.2 writes (3.x doesn't).
# pyyaml reads the settings beside models that PaddleDetection or PaddleX exported.
TRAIN = ["paddlepaddle==2.6.2", "numpy<2", "pyyaml>=6,<7"]
# A pre-release, and the last version with wheels for Python 3.10: only an exact pin makes pip take it.
LITE = ["paddlelite==2.13rc0"]
# onnxruntime alone runs a bundle (a board needs no more); onnx is for making one. Both work with paddle's protobuf.
ONNX = ["onnxruntime>=1.17,<2", "onnx>=1.17,<2"]
# Signatures of bundles; it has wheels for aarch64 and armv7l, so that boards can check them.
SIGN = ["cryptography>=42"]
# Reports need nothing beyond the base so far; the name stands in documented install commands.
REPORT: list[str] = []
DEV = ["pytest>=8,<10", "pytest-xdist>=3.5,<4", "ruff>=0.9,<1", "mypy>=1.11,<3", "import-linter>=2,<3"]

setup(
    name="edge-seg",
    version=VERSION[1],
    description="Instance segmentation for small devices: train Mask R-CNN, convert it, run it, measure it",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["edge_seg", "edge_seg.*", "convert", "convert.*", "bench", "bench.*"]),
    package_data={"edge_seg": ["py.typed", "boards/paddle_lite.json"]},
    install_requires=["numpy>=1.23,<3", "opencv-python>=4.7,<5", "pycocotools>=2.0.7,<3", "click>=8.2,<9"],
    extras_require={
        "train": TRAIN,
        "lite": LITE,
        "onnx": ONNX,
        "sign": SIGN,
        "report": REPORT,
        "dev": DEV,
        "all": [*TRAIN, *LITE, *ONNX, *SIGN, *REPORT, *DEV],
    },
    entry_points={"console_scripts": ["edge-seg = edge_seg.__main__:main"]},
    zip_safe=False,
)

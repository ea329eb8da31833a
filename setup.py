"""The package.

``pip install '.[onnx]'`` for a machine that runs bundles, ``pip install '.[all]'`` for one that trains and converts,
``pip install -e '.[all,dev]'`` for work on edge-seg itself.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "edge_seg/__init__.py").read_text(), re.MULTILINE)
assert VERSION is not None


def home() -> str | None:
    """The web page of the repository that this checkout was cloned from; None where it has none."""
    words = ["git", "-C", str(HERE), "remote", "get-url", "origin"]
    try:
        # A checkout only: a copy of the sources inside another repository isn't that one's.
        origin = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return None
    if not (HERE / ".git").exists():
        return None
    # ssh://git@host/owner/name.git, git@host:owner/name.git and https://user:secret@host/owner/name.git
    found = re.fullmatch(r"(?:(?:https?|ssh)://)?(?:[^@/]+@)?([\w.-]+\.\w+)(?::\d+)?[:/](.+?)(?:\.git)?/?", origin)
    return f"https://{found[1]}/{found[2]}" if found else None


def description(page: str | None) -> str:
    """README.md for a page elsewhere: its links to files of the repository are absolute, or go where there is none."""
    readme = HERE / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""

    def link(found: re.Match[str]) -> str:
        image, title, target = found.groups()
        if "://" in target or target.startswith("#"):
            return found[0]
        if page is None:
            return "" if image else title
        return f"{image}[{title}]({page}/{'raw' if image else 'blob'}/HEAD/{target})"

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", link, text)


PAGE = home()

# `make test-install` runs both ends of these ranges with CPython 3.10 to 3.13. A line with a marker raises
# the lower end for the Pythons for which nothing older has wheels.
# OpenCV 4.10.0.84, pycocotools 2.0.8 and ONNX Runtime 1.19 are the first that work with numpy 1 and with numpy 2.
BASE = [
    "numpy>=1.23.5,<3",
    "numpy>=1.26; python_version == '3.12'",
    "numpy>=2.1; python_version >= '3.13'",
    "opencv-python>=4.10.0.84,<5",
    "pycocotools>=2.0.8,<3",
    "pycocotools>=2.0.10; python_version >= '3.13'",
    "click>=8.2,<9",
    "pyelftools>=0.31,<1",
]
# numpy <2 because paddlepaddle 2.6.2 was built against 1.x. opt needs the .pdmodel that 2.6.2 writes (3.x doesn't);
# 2.6.2 has no wheels for Python 3.13, where 3.x trains and `convert` makes itself an environment with 2.6.2.
# It imports setuptools, which it doesn't name and which environments of Python 3.12 no longer hold.
# pyyaml reads the settings beside models that PaddleDetection or PaddleX exported; rich draws the training's line;
# faster-coco-eval gives COCO's numbers in a seventh of pycocotools' time.
TRAIN = [
    "paddlepaddle==2.6.2; python_version < '3.13'",
    "paddlepaddle>=3.3.1,<4; python_version >= '3.13'",
    "numpy<2; python_version < '3.13'",
    "setuptools>=70",
    "pyyaml>=6,<7",
    "pyyaml>=6.0.1; python_version == '3.12'",
    "pyyaml>=6.0.2; python_version >= '3.13'",
    "rich>=13,<16",
    "faster-coco-eval>=1.6,<2",
    "faster-coco-eval>=1.6.4; python_version >= '3.13'",
]
# A pre-release: only an exact pin makes pip take it. No version has wheels for a newer Python.
LITE = ["paddlelite==2.13rc0; python_version < '3.11'"]
# Runs the bundles onnx-…; all that a board needs beside the base.
ONNX = ["onnxruntime>=1.19,<2", "onnxruntime>=1.20; python_version >= '3.13'"]
# Makes the bundles onnx-…, with paddle's protobuf, and checks them by running them.
ONNX_EXPORT = [*ONNX, "onnx>=1.17,<2", "onnx>=1.18; python_version >= '3.13'"]
# Wheels for x86-64 and aarch64, CPython 3.8 and newer.
NCNN = ["ncnn>=1.0.20250503"]
# Signatures of bundles; it has wheels for aarch64 and armv7l, so that boards can check them.
SIGN = ["cryptography>=42"]
# Event files for --scalars tensorboard, without TensorBoard itself.
TENSORBOARD = ["tensorboardX>=2.6.2,<3"]
# The HTML pages: their templates and their plots. matplotlib 3.8.4 is the first that works with numpy 1 and 2.
REPORT = ["jinja2>=3.1,<4", "matplotlib>=3.8.4,<4", "matplotlib>=3.9.2; python_version >= '3.13'"]
# Other models for `edge-seg bench peers`; may be put into an environment of their own, with --peer-python.
PEERS = ["torch>=2,<3", "torchvision>=0.15,<1", *ONNX]
DEV = [
    "auditwheel>=6.2,<7",
    "hypothesis>=6.100,<7",
    "import-linter>=2,<3",
    "mypy>=1.11,<3",
    "pytest>=8,<10",
    "pytest-xdist>=3.5,<4",
    "ruff>=0.9,<1",
]

setup(
    name="edge-seg",
    version=VERSION[1],
    description="Instance segmentation for small devices: train Mask R-CNN, convert it, run it, measure it",
    long_description=description(PAGE),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    author="The edge-seg developers",
    keywords="instance segmentation, Mask R-CNN, PaddlePaddle, Paddle Lite, Arm, edge",
    url=PAGE,
    project_urls={"Changelog": f"{PAGE}/blob/HEAD/CHANGELOG.md", "Issues": f"{PAGE}/issues"} if PAGE else {},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: Implementation :: CPython",
        "Programming Language :: C++",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    packages=find_packages(include=["edge_seg", "edge_seg.*", "convert", "convert.*", "bench", "bench.*"]),
    package_data={
        "edge_seg": [
            "py.typed",
            "boards/paddle_lite.json",
            "models/costs.json",
            "pages/base.html.jinja",
            "pages/style.css",
            "train/pretrained.json",
            "process/convert-requirements.txt",
        ]
    },
    install_requires=BASE,
    extras_require={
        "train": TRAIN,
        "lite": LITE,
        "onnx": ONNX,
        "onnx-export": ONNX_EXPORT,
        "sign": SIGN,
        "report": REPORT,
        "tensorboard": TENSORBOARD,
        "peers": PEERS,
        "dev": DEV,
        "ncnn": NCNN,
        "all": [*TRAIN, *LITE, *ONNX_EXPORT, *NCNN, *SIGN, *REPORT, *TENSORBOARD],
    },
    entry_points={"console_scripts": ["edge-seg = edge_seg.__main__:main"]},
    zip_safe=False,
)

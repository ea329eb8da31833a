"""``make demo``: the whole way on a small dataset, with the commands that a user would type.

Each step prints its command and runs it. A step that was done before is passed over as long as its command, the code
and all steps before it are the same and what it made is still there; a training that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.files import remove, write_text

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Size:
    """How big the demo is. The training's options are chosen so that it learns within minutes on two cores."""

    images: int
    side: int
    train: tuple[str, ...]
    shown: int
    bench: tuple[str, ...]


# The starting weights have seen other drawn shapes (weights/README.md); the seed keeps these images new to them.
SEED = 7
START = ROOT / "weights" / "mask_rcnn_tiny_fpn_shapes.pdparams"
FULL = Size(
    images=300,
    side=192,
    train=("--epochs", "4", "--batch", "4", "--lr", "0.005", "--seed", "1", "--eval-every", "2"),
    shown=12,
    bench=("--warmup", "3", "--repeat", "20"),
)
# Shows that the steps fit together, not that the model learns.
QUICK = Size(
    images=10,
    side=128,
    train=("--epochs", "1", "--batch", "2", "--seed", "1"),
    shown=2,
    bench=("--warmup", "1", "--repeat", "2"),
)
STEPS = 9
RECIPES = ("arm-fp32", "x86-fp32", "cpu-fp32")


class Failed(Exception):
    """A step's command failed; ``code`` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Demo:
    """The steps, each with a mark that says for which command, code and earlier steps it was done."""

    def __init__(self, out: Path, size: Size) -> None:
        self.out = out
        self.size = size
        self.edge_seg = Path(sys.executable).with_name("edge-seg")
        self._marks = out / ".done"
        self._key = _hash_of_code("edge_seg")
        self._number = 0

    def run(self) -> None:
        """All steps."""
        out, size = self.out, self.size
        data, run, bundles, shown = out / "data", out / "run", out / "bundles", out / "images"
        self._step(
            "Draw a dataset: shapes over textured grounds, a fifth of them held out",
            ["data", "synth", data, "--images", size.images, "--size", size.side, "--seed", SEED],
            [data],
        )
        model = "mask_rcnn_tiny_fpn"
        self._step(
            "Train a small Mask R-CNN on it, from weights that know other shapes: this takes minutes",
            [
                "train",
                model,
                "--data",
                data,
                "--out",
                run,
                "--size",
                size.side,
                "--weights",
                START,
                # They were trained on other shapes at another size, and all layers have minutes to adapt.
                "--freeze-at",
                "0",
                "--no-frozen-norm",
                *size.train,
                "--resume",
            ],
            [run],
            resumes=True,
        )
        self._step(
            "Convert it: for Arm boards, and for this machine by two engines; each is checked",
            ["convert", run, "--recipe", ",".join(RECIPES), "--out", bundles],
            [bundles],
            code="convert",
        )
        for what, name in ((run, "run"), (bundles / "x86-fp32", "x86-fp32")):
            self._step(
                f"Accuracy of {what.name} on the held-out images",
                ["eval", what, "--data", data, "--json"],
                [out / "accuracy" / f"{name}.json"],
                into_file=True,
            )
        chosen = _held_out(data)[: size.shown]
        self._step(
            "Find the objects in held-out images",
            ["predict", bundles / "cpu-fp32", *chosen, "--out", shown, "--score", "0.5"],
            [shown],
        )
        records = out / "records.jsonl"
        self._step(
            "Measure the bundles on this machine",
            ["bench", "run", bundles / "x86-fp32", bundles / "cpu-fp32", *size.bench, "--out", records],
            [records],
            code="bench",
        )
        self._step(
            "Make the speed table; what a busy machine disturbed is marked",
            ["bench", "table", records, "--show-degraded", "--out", out / "table.md"],
            [out / "table.md"],
        )
        self._step(
            "Make the page of these measurements: open it in a browser",
            ["bench", "report", records, "--html", out / "speed.html"],
            [out / "speed.html"],
        )

    def _step(
        self,
        title: str,
        arguments: list[Any],
        makes: list[Path],
        *,
        code: str = "",
        resumes: bool = False,
        into_file: bool = False,
    ) -> None:
        """Runs ``edge-seg arguments``, which makes ``makes``, unless that was done before.

        ``code`` names a package that this step is the first to use.
        """
        self._number += 1
        command = [str(self.edge_seg), *map(str, arguments)]
        parts = [self._key, _hash_of_code(code) if code else "", *command]
        self._key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        mark = self._marks / f"{self._number}"
        state = mark.read_text() if mark.exists() else ""
        print(f"\n── {self._number}/{STEPS}  {title}", flush=True)
        print(f"$ {_relative(shlex.join(command))}{' > ' + str(_shown(makes[0])) if into_file else ''}", flush=True)
        if state == f"done {self._key}" and all(path.exists() for path in makes):
            print("(done before)", flush=True)
            return
        if not (resumes and state == f"begun {self._key}"):
            for path in makes:
                remove(path)
        write_text(mark, f"begun {self._key}")
        start = time.monotonic()
        output = _run(command, capture=into_file)
        if into_file:
            write_text(makes[0], output)
        write_text(mark, f"done {self._key}")
        print(f"({_duration(time.monotonic() - start)})", flush=True)


def _run(command: list[str], capture: bool) -> str:
    """Runs ``command`` and returns its stdout if captured. Raises :class:`Failed`."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE if capture else None, text=True)
    try:
        output, _ = process.communicate()
    except KeyboardInterrupt:
        process.communicate()  # Ctrl-C reached it too: it tidies up
        raise
    if process.returncode:
        raise Failed(process.returncode)
    return output or ""


def _hash_of_code(package: str) -> str:
    digest = hashlib.sha256()
    for path in sorted((ROOT / package).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _held_out(data: Path) -> list[Path]:
    coco = json.loads((data / "val.json").read_text(encoding="utf-8"))
    return [data / "images" / image["file_name"] for image in coco["images"]]


def _shown(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def _relative(command: str) -> str:
    return command.replace(f"{ROOT}/", "")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def _size_of(folder: Path) -> str:
    return f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 1e6:.1f} MB"


def last_screen(demo: Demo, seconds: float) -> str:
    """What was made, how good it is, and what to type next."""
    out = demo.out

    def accuracy(name: str) -> float:
        return float(json.loads((out / "accuracy" / f"{name}.json").read_text())["mask_map"])

    run, bundle = accuracy("run"), accuracy("x86-fp32")
    count = len(_held_out(out / "data"))
    bin_folder = _shown(demo.edge_seg.parent)
    return f"""
{"═" * 78}
Done in {_duration(seconds)}. In {_shown(out)}/ you find:

  data/          {demo.size.images} images in COCO form, {count} of them held out
  run/           the trained model
  bundles/       arm-fp32 ({_size_of(out / "bundles/arm-fp32")}) for boards; x86-fp32 and cpu-fp32 for this machine
  images/        what the model finds in held-out images: look at them first
  records.jsonl  the measurements, every sample of them
  table.md       the speed table made from them
  speed.html     the same as a page, with plots

  mask mAP (0.50:0.95) on the {count} held-out images:
    run               {run:.3f}    the trained weights, in Paddle
    bundles/x86-fp32  {bundle:.3f}    the .nb files, in Paddle Lite ({bundle - run:+.4f})

Next, with your own images in COCO form (a folder with train.json, val.json and images/):

  . {bin_folder}/activate
  edge-seg data check MY_DATA
  edge-seg zoo
  edge-seg train mask_rcnn_r18_fpn --data MY_DATA --out my_run
  edge-seg convert my_run --recipe arm-fp32,x86-fp32,cpu-fp32 --out my_bundles
  edge-seg eval my_bundles/x86-fp32 --data MY_DATA
  edge-seg predict my_bundles/cpu-fp32 PHOTO.jpg --out found

For your board: one file with the model, the runner (cmake/README.md says how it is built with Paddle Lite's Arm
library) and the library; it tests itself there before it takes over. docs/boards has a page for each kind.

  edge-seg board pack {_shown(out)}/bundles/arm-fp32 --arch armv8 --out board.tar.gz \\
      --runner build/native/aarch64/edge-seg-run --library $PADDLE_LITE_DIR/cxx/lib/libpaddle_light_api_shared.so
  edge-seg board deploy board.tar.gz ssh://USER@BOARD
"""


def main() -> int:
    """Runs the demo; the exit code is that of the step that failed, or 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "demo", help="folder for all that is made (default: demo)")
    parser.add_argument("--quick", action="store_true", help="a minute: shows that the steps fit together, no more")
    options = parser.parse_args()
    demo = Demo(options.out.resolve(), QUICK if options.quick else FULL)
    start = time.monotonic()
    try:
        demo.run()
    except Failed as failed:
        print("\nThis step failed; its message is above. `make demo` again goes on from here.", file=sys.stderr)
        return failed.code if failed.code > 0 else 1
    except KeyboardInterrupt:
        print("\nStopped. `make demo` again goes on from here.", file=sys.stderr)
        return 130
    print(last_screen(demo, time.monotonic() - start))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Fills the GPU cells of the speed table on a machine that has only onnxruntime-gpu, numpy and OpenCV.

On a machine that converts, ``python tools/gpu_cell.py --out gpu_cell.pyz`` makes one file of a few MB: the runtime, the
measuring, and the models' graphs without their weights. On the machine with the GPU, ``python gpu_cell.pyz --out
gpu.jsonl`` draws the weights from one seed, checks that I/O binding and numpy give the same bits, and measures. The
records then go into the table: ``edge-seg bench table docs/records.jsonl gpu.jsonl``.

Speed doesn't depend on the weights' values where the number of objects is fixed, so weights are drawn, with the spread
of the models' own: a file of weights is cut into what is kept and holes that are filled with numbers from the seed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipapp
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
MODELS = "mask_rcnn_r50_fpn,mask_rcnn_r18_fpn,mask_rcnn_hrnet_fpn"
RECIPES = {"cuda": "onnx-cuda-fp32", "tensorrt": "onnx-tensorrt-fp32"}
SEED = 1
FEWEST = 4096
"""Values of a tensor that is drawn; smaller ones travel."""
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Whose weights are drawn. Anchors are large too, but are no weights."""
INSTANCES = 20
PARTS = "parts.json"


def drawn(number: int, count: int, spread: float) -> NDArray[np.float32]:
    """The values of weight tensor ``number``: uniform, with this standard deviation; the same on every machine."""
    raw = np.random.PCG64([SEED, number]).random_raw((count + 1) // 2).astype("<u8").view("<u4")[:count]
    unit = (raw >> 8).astype(np.float32) / np.float32(1 << 23) - np.float32(1)
    return unit * np.float32(spread * 3**0.5)


# --- on the machine that converts ---


def pack(bundles: Sequence[Path], image: Path | None, out: Path) -> None:
    """Writes the file that runs elsewhere; ``image`` is measured, or else each bundle's golden one."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "app")
        for package in ("edge_seg", "bench"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(HERE.parent / package, root / package, ignore=ignored)
        _copy_click(root)
        shim = root / "pycocotools"
        shim.mkdir()
        (shim / "__init__.py").write_text("")
        (shim / "mask.py").write_text(SHIM)
        for number, bundle in enumerate(bundles):
            _strip(bundle, root / "bundles" / f"{number}-{bundle.name}")
        (root / "images").mkdir()
        if image is not None:
            shutil.copy(image, root / "images")
        shutil.copy(__file__, root / "__main__.py")
        zipapp.create_archive(root, out, compressed=True)


def _copy_click(root: Path) -> None:
    import click

    shutil.copytree(Path(click.__file__).parent, root / "click", ignore=shutil.ignore_patterns("__pycache__"))


SHIM = '''"""What the runtime takes from pycocotools, for a machine without it."""

import numpy as np

from edge_seg.runtime.rle import run_lengths


def _inside(rle):
    runs = run_lengths(rle["counts"])
    height, width = rle["size"]
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(width, height)


def toBbox(rle):
    columns, rows = np.nonzero(_inside(rle))
    if not len(rows):
        return np.zeros(4)
    x, y = columns.min(), rows.min()
    return np.array([x, y, columns.max() - x + 1, rows.max() - y + 1], float)


def merge(rles, intersect=False):
    one, two = map(_inside, rles)
    return one & two if intersect else one | two


def area(inside):
    return int(inside.sum())
'''


def _strip(bundle: Path, to: Path) -> None:
    """Writes a bundle with drawn weights as parts: each graph's file without them, and what is drawn into the holes."""
    from edge_seg.bundle import open_bundle

    manifest = open_bundle(bundle).manifest
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch, "bundle")
        shutil.copytree(bundle, whole)
        parts: dict[str, list[Any]] = {}
        files: dict[str, dict[str, str]] = {}
        for name, graph in manifest.graphs.items():
            (file,) = graph.files
            parts[file] = _draw_weights(whole / file, len(parts) * 1000)
            files[name] = {file: hashlib.sha256((whole / file).read_bytes()).hexdigest()}
        plain = json.loads((whole / "manifest.json").read_text())
        for name, hashes in files.items():
            plain["graphs"][name]["files"] = hashes
        _write_golden(whole, plain)
        to.mkdir(parents=True)
        for file, pieces in parts.items():
            content = (whole / file).read_bytes()
            kept = b"".join(content[p["at"] : p["at"] + p["bytes"]] for p in pieces if "number" not in p)
            (to / file).write_bytes(kept)
        shutil.copytree(whole / "golden", to / "golden")
        shutil.copy(whole / "manifest.json", to)
        (to / PARTS).write_text(json.dumps(parts))


def _draw_weights(file: Path, first: int) -> list[dict[str, Any]]:
    """Draws the weights of a graph's file anew; its pieces in order: kept bytes, or the number of a drawn tensor."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(file))
    weights = {node.input[1] for node in model.graph.node if node.op_type in LAYERS}
    found: list[tuple[bytes, dict[str, Any]]] = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name in weights and values.size >= FEWEST and values.dtype == np.float32:
            number, spread = first + len(found), float(values.std())
            content = drawn(number, values.size, spread).tobytes()
            tensor.ClearField("float_data")
            tensor.raw_data = content
            found.append((content, {"number": number, "count": int(values.size), "spread": spread}))
    whole = model.SerializeToString()
    file.write_bytes(whole)
    pieces: list[dict[str, Any]] = []
    end = 0
    for content, piece in sorted(((c, p) for c, p in found), key=lambda pair: whole.index(pair[0])):
        at = whole.index(content)
        pieces += [{"at": end, "bytes": at - end}, piece]
        end = at + len(content)
    return [*pieces, {"at": end, "bytes": len(whole) - end}]


def _write_golden(bundle: Path, plain: dict[str, Any]) -> None:
    """The manifest and the golden result of the drawn weights, which this machine's CPU computes."""
    from edge_seg.runtime.segmenter import Segmenter

    # Other kernels order near ties of random weights otherwise.
    test = {"matched": 0.8, "box_px": 0.5, "score": 5e-3, "mask_iou": 0.95, "mask_pixels": 50}
    plain.update(random_weights=True, verification={"judged": "by gpu_cell.py", "self_test": test})
    plain["golden"]["instances"] = INSTANCES
    expected = bundle / plain["golden"]["expected"]
    image = bundle / plain["golden"]["image"]
    manifest = bundle / "manifest.json"
    target, plain["target"] = plain["target"], "cpu"
    manifest.write_text(json.dumps(plain))
    with Segmenter(bundle, instances=INSTANCES) as segmenter:
        found = segmenter(image)
    value = {"height": found.height, "width": found.width, "instances": found.as_json()}
    expected.write_text(json.dumps(value))
    plain["target"] = target
    plain["golden"]["files"][plain["golden"]["expected"]] = hashlib.sha256(expected.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(plain))


def convert(models: str, sizes: str, folder: Path) -> Iterator[Path]:
    """Bundles of untrained models, made by edge-seg."""
    for model in models.split(","):
        for size in sizes.split(","):
            out = folder / f"{model}-{size}"
            words = ["convert", model, "--random-weights", "--seed", str(SEED), "--recipe", RECIPES["cuda"]]
            command = [sys.executable, "-m", "edge_seg.cli", *words, "--size", size, "--out", str(out)]
            subprocess.run(command, cwd=HERE.parent, check=True)
            yield out


# --- on the machine with the GPU ---


def fill(parts: Path) -> None:
    """Makes a bundle of its parts, in place."""
    for file, pieces in json.loads((parts / PARTS).read_text()).items():
        kept, at = (parts / file).read_bytes(), 0
        with (parts / file).open("wb") as whole:
            for piece in pieces:
                if "number" in piece:
                    whole.write(drawn(piece["number"], piece["count"], piece["spread"]).tobytes())
                else:
                    whole.write(kept[at : at + piece["bytes"]])
                    at += piece["bytes"]
    (parts / PARTS).unlink()


def choose_provider(bundle: Path, provider: str) -> None:
    """Writes into the bundle's manifest what is to run it."""
    file = bundle / "manifest.json"
    plain = json.loads(file.read_text())
    if provider == "cpu":
        plain.update(target="cpu", recipe="onnx-fp32")
    else:
        plain.update(target="gpu", recipe=RECIPES[provider])
        plain["optimizer"]["providers"] = "cuda" if provider == "cuda" else f"{provider},cuda"
    file.write_text(json.dumps(plain))


def compare_ways(bundle: Path, device: str) -> float:
    """The largest difference between bound inputs and outputs and numpy's way, over both graphs; 0: the same bits."""
    from edge_seg.bundle import open_bundle
    from edge_seg.runtime.engines.onnxruntime import load

    opened = open_bundle(bundle)
    engine = load(opened, 0)
    height, width = opened.manifest.preprocess.size
    image = np.random.PCG64(SEED).random_raw(3 * height * width).astype("<u8") % 256
    inputs = {"image": (image.astype(np.float32) / 128 - 1).reshape(1, 3, height, width)}

    def run(graph: str, given: dict[str, Any], on: str | None) -> dict[str, Any]:
        engine._device = on
        return engine.run(graph, given)

    worst = 0.0

    def differ(one: dict[str, Any], two: dict[str, Any]) -> None:
        nonlocal worst
        for name in one:
            a, b = np.asarray(one[name]), np.asarray(two[name])
            if a.shape != b.shape or not np.isfinite(a).all():
                raise SystemExit(f"{bundle.name}: {name} differs in shape between the two ways, or isn't finite")
            worst = max(worst, float(np.abs(a - b).max()))

    plain, bound = run("detect", inputs, None), run("detect", inputs, device)
    differ(plain, bound)
    boxes = np.ascontiguousarray(plain["boxes"][:INSTANCES, 0])
    more = {
        "boxes": boxes,
        "num": np.array([len(boxes)], np.int32),
        "channel": (np.arange(len(boxes)) * plain["boxes"].shape[1]).astype(np.int32),
    }
    features = [tensor.name for tensor in opened.manifest.graphs["mask"].inputs if tensor.name not in more]
    differ(
        run("mask", {**more, **{name: plain[name] for name in features}}, None),
        run("mask", {**more, **{name: bound[name] for name in features}}, device),
    )
    engine.close()
    return worst


def measure(options: argparse.Namespace) -> int:
    """Fills the bundles, compares both ways, measures; the exit code."""
    with tempfile.TemporaryDirectory(prefix="gpu_cell-") as scratch:
        with zipfile.ZipFile(sys.argv[0]) as archive:
            archive.extractall(scratch)
        sys.path.insert(0, scratch)
        os.environ["PYTHONPATH"] = os.pathsep.join([scratch, *filter(None, [os.environ.get("PYTHONPATH")])])
        bundles = sorted(Path(scratch, "bundles").iterdir())
        for bundle in bundles:
            fill(bundle)
            choose_provider(bundle, options.provider)
            worst = compare_ways(bundle, "cpu" if options.provider == "cpu" else "cuda")
            how = "bit for bit equal" if worst == 0 else f"equal to {worst:.1e}"
            print(f"{bundle.name}: features on the device and through numpy: {how}", file=sys.stderr)
        words = ["bench", "run", *map(str, bundles), "--instances", options.instances, "--mode", options.mode]
        words += [word for image in Path(scratch, "images").iterdir() for word in ("--images", str(image))]
        words += ["--out", str(options.out), "--restart"]
        command = [sys.executable, "-m", "edge_seg.cli", *words]
        return subprocess.run(command, check=False).returncode


def main() -> int:
    """Packs in a checkout; measures where it was packed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the file to make: gpu_cell.pyz, or records")
    if zipfile.is_zipfile(sys.argv[0]):
        parser.add_argument("--provider", choices=["cuda", "tensorrt", "cpu"], default="cuda", help="cpu: a try-out")
        parser.add_argument("--instances", default="1,5,20", help="objects (1,5,20)")
        parser.add_argument("--mode", choices=["quick", "full", "sustained"], default="full")
        return measure(parser.parse_args())
    parser.add_argument("--models", default=MODELS, help=f"models of the zoo ({MODELS})")
    parser.add_argument("--sizes", default="320,640", help="input sizes (320,640)")
    parser.add_argument("--bundles", type=Path, nargs="+", help="bundles of onnx-… in place of models")
    parser.add_argument("--image", type=Path, help="image to measure with, such as that of the records beside it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        bundles = options.bundles or list(convert(options.models, options.sizes, Path(scratch)))
        pack(bundles, options.image, options.out)
    size = options.out.stat().st_size / 1e6
    print(f"{options.out}: {size:.1f} MB; where the GPU is: python {options.out.name} --out gpu.jsonl")
    return 0


if __name__ == "__main__":
    sys.exit(main())

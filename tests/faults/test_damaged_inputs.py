"""Every kind of file that a command reads, damaged by chance: a clear end, in time and memory, and nothing left.

Models, runs and bundles with real graphs are tried in tests/convert/test_damaged_models.py. The ordinary run tries
some; ``EDGE_SEG_DAMAGED=3000`` tries so many, ``EDGE_SEG_DAMAGED_SEED`` draws others.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import pytest

from edge_seg.records.record import append
from tests.bench.conftest import a_record
from tests.bundles.made import make_bundle
from tests.faults.damage import damaged
from tests.faults.workplace import contents, edge_seg, fault, lay_out, peak, workplace

COUNT = int(os.environ.get("EDGE_SEG_DAMAGED", "28"))
SEED = int(os.environ.get("EDGE_SEG_DAMAGED_SEED", "1"))
IMAGES = ("jpg", "png", "bmp", "tiff", "webp", "ppm")
TEXT = frozenset({".json", ".jsonl", ".xml", ".txt", ".yaml", ".yml", ".toml", ".pub"})
PREDICT = ("predict", "real", "set/images/1.{kind}", "--out", "out")
TRAIN = ("train", "mask_rcnn_tiny_fpn", "--data", "set", "--out", "out", "--size", "64", "--max-steps", "1")


@dataclass(frozen=True)
class Input:
    """A file, or the files of a folder, that is damaged, and the command that reads it; ``sound`` is its exit code."""

    file: str
    words: tuple[str, ...]
    sound: tuple[int, ...] = (0,)
    slow: bool = field(default=False, kw_only=True)

    @property
    def reports(self) -> str:
        """What a command says that goes on after a fault and writes the rest; "" for one that ends with an error."""
        first = " ".join(self.words[:2])
        known = {
            "data check": r"^Error: .{10,}",
            "bundle check": r"^Error: |FAILED|failed|wrong",
            "bench import": "left out",
        }
        return "left out: " if self.words[0] == "predict" and self.words[1] == "real" else known.get(first, "")


CHECK = ("data", "check", "set")
INPUTS = (
    Input("set/train.json", CHECK),
    Input("set/val.json", (*CHECK, "--fix", "out")),
    Input("set/train.json", ("data", "split", "set/train.json", "out")),
    Input("set/train.json", ("data", "stats", "set", "--json")),
    *(Input(f"set/images/1.{kind}", CHECK) for kind in IMAGES),
    Input("labelme", ("data", "import", "labelme", "labelme", "out", "--skip-invalid")),
    Input("labelme", ("data", "import", "labelme", "labelme", "out")),
    Input("yolo", ("data", "import", "yolo", "yolo", "out")),
    Input("annotations.xml", ("data", "import", "cvat", "annotations.xml", "out")),
    Input("studio.json", ("data", "import", "labelstudio", "studio.json", "out")),
    Input("bundle", ("bundle", "check", "bundle")),
    Input("bundle/manifest.json", ("bundle", "show", "bundle")),
    Input("bundle/signature.json", ("bundle", "check", "bundle", "--public-key", "key.pub")),
    Input("key.pub", ("bundle", "check", "bundle", "--public-key", "key.pub")),
    Input("bundle.tar.gz", ("bundle", "unpack", "bundle.tar.gz", "--out", "out")),
    Input("bundle.tar.xz", ("bundle", "unpack", "bundle.tar.xz", "--out", "out")),
    Input("bundle.zip", ("bundle", "unpack", "bundle.zip", "--out", "out")),
    Input("records.jsonl", ("bench", "table", "records.jsonl")),
    Input("records.jsonl", ("bench", "import", "records.jsonl", "--out", "out")),
    Input("records.jsonl", ("bench", "show", "records.jsonl")),
    Input("config/edge-seg/boards.json", ("board", "list")),
    Input("options.yaml", ("train", "mask_rcnn_tiny_fpn", "--config", "options.yaml", "--data", "none", "--out",
          "out"), (1,)),
    *(Input(f"set/images/1.{kind}", tuple(w.format(kind=kind) for w in PREDICT), slow=True) for kind in IMAGES),
    Input("real", ("bundle", "check", "real"), slow=True),
    Input("run/model.pdparams", ("weights", "import", "run/model.pdparams", "--model", "mask_rcnn_tiny_fpn",
          "--classes", "a,b,c", "--size", "64", "--out", "out"), slow=True),
    Input("run/model.pdparams", (*TRAIN, "--weights", "run/model.pdparams"), slow=True),
    Input("run", ("predict", "run", "set/images/1.jpg", "--out", "out"), slow=True),
    Input("resumed", ("train", "mask_rcnn_tiny_fpn", "--data", "set", "--out", "resumed", "--size", "64",
          "--max-steps", "2", "--eval-every", "0", "--weights", "none", "--resume"), slow=True),
)  # fmt: skip
FAST = [one for one in INPUTS if not one.slow]
SLOW = [one for one in INPUTS if one.slow]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    loaded = "edge_seg.data.check", "edge_seg.data.formats.convert", "edge_seg.bundles.check"
    with workplace(tmp_path_factory.mktemp("damaged"), *loaded) as folder:
        yield folder


@pytest.fixture(scope="module")
def sound(work: Path) -> Path:
    """A folder with every file of :data:`FAST` as it should be."""
    _make(work)
    return Path(shutil.copytree(work, work.parent / "sound"))


def _make(folder: Path) -> None:
    assert edge_seg("data", "synth", "drawn", "--images", "8", "--size", "64").code == 0
    (folder / "set/images").mkdir(parents=True)
    kinds = {}
    for number, image in enumerate(sorted((folder / "drawn/images").iterdir())):
        kinds[image.name] = f"{number // len(IMAGES) + 1}.{IMAGES[number % len(IMAGES)]}"
        cv2.imwrite(str(folder / "set/images" / kinds[image.name]), cv2.imread(str(image)))
    for split in ("train.json", "val.json"):
        text = (folder / "drawn" / split).read_text()
        (folder / "set" / split).write_text(re.sub("|".join(kinds), lambda found: kinds[found[0]], text))
    shutil.rmtree(folder / "drawn")
    for kind in ("labelme", "yolo"):
        done = edge_seg("data", "export", kind, "set", kind)
        assert done.code == 0, done
    shapes = '<polygon label="cat" points="4,4;40,6;30,50"/>'
    shapes += '<mask label="cat" rle="10, 20, 70" left="5" top="5" width="10" height="10"/>'
    (folder / "annotations.xml").write_text(
        "<annotations><meta><task><labels><label><name>cat</name></label></labels></task></meta>"
        + "".join(f'<image id="{n}" name="set/images/{n}.jpg" width="64" height="64">{shapes}</image>' for n in (1, 2))
        + "</annotations>"
    )
    value = {"points": [[10, 10], [60, 10], [50, 70]], "polygonlabels": ["cat"]}
    tasks = [
        {
            "id": n,
            "data": {"image": f"/upload/set/images/{n}.jpg"},
            "annotations": [{"result": [{"type": "polygonlabels", "value": value}]}],
        }
        for n in (1, 2)
    ]
    (folder / "studio.json").write_text(json.dumps(tasks))
    make_bundle(folder / "bundle")
    assert edge_seg("bundle", "keygen", "key").code == 0
    assert edge_seg("bundle", "sign", "bundle", "--key", "key").code == 0
    done = edge_seg("bundle", "pack", "bundle", "--out", "bundle.tar.gz")
    assert done.code == 0, done
    for kind, form in (("zip", "zip"), ("tar.xz", "xztar")):
        shutil.make_archive(str(folder / "bundle"), form, folder, "bundle")
        assert (folder / f"bundle.{kind}").exists()
    append(folder / "records.jsonl", a_record())
    (folder / "config/edge-seg").mkdir(parents=True)
    board = {"target": "ssh://pi@10.0.0.3", "dir": None}
    (folder / "config/edge-seg/boards.json").write_text(json.dumps({"schema": 1, "boards": {"kitchen": board}}))
    (folder / "options.yaml").write_text("epochs: 3\nlr: 0.01\nsize: 64\nshort_side: [64, 96]\nflip: 0.5\n")


@pytest.fixture(scope="module")
def sound_models(sound: Path, work: Path, tiny_bundles: Path) -> Path:
    """The same with a run, one that waits to be gone on with, and a real bundle."""
    lay_out(sound, work)
    shutil.copytree(tiny_bundles / "onnx-fp32", work / "real")
    words = f"{' '.join(TRAIN[:4])} --size 64 --eval-every 0 --weights none".split()
    for out, steps in (("run", "1"), ("resumed", "2")):
        done = edge_seg(*words, "--out", out, "--max-steps", steps)
        assert done.code == 0, done
    return Path(shutil.copytree(work, work.parent / "sound-models"))


PEAKS: dict[Input, int] = {}
"""The most memory that each command took with sound files, KiB."""


def peak_of_sound(one: Input, sound: Path, work: Path) -> int:
    if one not in PEAKS:
        lay_out(sound, work)
        done = edge_seg(*one.words)
        assert done.code in one.sound, done
        PEAKS[one] = peak(work)
    return PEAKS[one]


def try_one(number: int, inputs: list[Input], sound: Path, work: Path) -> None:
    rng = random.Random(f"{SEED} {number}")
    one = inputs[number % len(inputs)]
    most = peak_of_sound(one, sound, work)
    lay_out(sound, work)
    target = work / one.file
    file = rng.choice(sorted(path for path in target.rglob("*") if path.is_file())) if target.is_dir() else target
    way, content = damaged(file.read_bytes(), rng, file.suffix in TEXT)
    file.write_bytes(content)
    before = None if "resumed" in one.words else contents(work)
    done = edge_seg(*one.words)
    wrong = fault(done, work, before, most, one.reports)
    assert not wrong, f"{wrong}: {way} of {file.relative_to(work)} ({SEED} {number}): {' '.join(one.words)}\n{done}"


@pytest.mark.parametrize("number", range(COUNT))
def test_files(number: int, sound: Path, work: Path) -> None:
    try_one(number, FAST, sound, work)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(max(1, COUNT // 5)))
def test_models(number: int, sound_models: Path, work: Path) -> None:
    pytest.importorskip("paddle", reason="needs the extra 'train'")
    try_one(number, SLOW, sound_models, work)

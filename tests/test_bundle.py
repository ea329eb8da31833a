"""The manifest: what is written comes back, and what doesn't fit is refused by name."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_seg.bundle import Bundle, examine_bundle, open_bundle, write_manifest
from edge_seg.errors import BundleError
from edge_seg.manifest import Golden, GraphSpec, Manifest, PostprocessSpec, PreprocessSpec, TensorSpec


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def graph(file: str) -> GraphSpec:
    tensor = TensorSpec("image", (1, 3, 320, 480), "float32")
    return GraphSpec({file: digest(file.encode())}, (tensor,), (TensorSpec("boxes", (-1, 4), "float32"),))


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        name="shapes",
        model="mask_rcnn_tiny_fpn",
        recipe="x86-fp32",
        engine="paddle-lite",
        engine_version="2.13rc0",
        target="x86",
        precision="fp32",
        classes=("disc", "star"),
        category_ids=(3, 7),
        preprocess=PreprocessSpec((320, 480)),
        postprocess=PostprocessSpec(),
        proposals=100,
        graphs={"detect": graph("detect.nb"), "mask": graph("mask.nb")},
        golden=Golden({name: digest(name.encode()) for name in ("golden/a.png", "golden/a.json")}, *GOLDEN),
        random_weights=False,
        source={"run": "run"},
        verification={"boxes": 1e-4},
    )


GOLDEN = ("golden/a.png", "golden/a.json")


@pytest.fixture
def folder(tmp_path: Path, manifest: Manifest) -> Path:
    """A bundle whose files hold their own names."""
    path = tmp_path / "bundle"
    for name in ("detect.nb", "mask.nb", *GOLDEN):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(name.encode())
    write_manifest(path, manifest)
    return path


def edit(folder: Path, change: Callable[[Any], object]) -> None:
    file = folder / "manifest.json"
    plain = json.loads(file.read_text())
    change(plain)
    file.write_text(json.dumps(plain))


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_what_is_written_comes_back(folder: Path, manifest: Manifest) -> None:
    bundle = open_bundle(folder)
    assert bundle == Bundle(folder, manifest)
    assert bundle.model_bytes == len("detect.nb") + len("mask.nb")


def test_the_same_manifest_gives_the_same_id(folder: Path, manifest: Manifest) -> None:
    before = open_bundle(folder).id
    write_manifest(folder, manifest)
    assert open_bundle(folder).id == before


def test_defaults_may_be_left_out(folder: Path) -> None:
    edit(folder, lambda plain: [plain.pop(name) for name in ("optimizer", "verification")])
    assert open_bundle(folder).manifest.verification == {}


@pytest.mark.parametrize("break_it", ["missing", "file", "no manifest"])
def test_no_bundle(tmp_path: Path, break_it: str) -> None:
    path = tmp_path / "x"
    if break_it == "file":
        path.touch()
    elif break_it == "no manifest":
        path.mkdir()
    with pytest.raises(BundleError, match=str(path)) as caught:
        open_bundle(path)
    assert caught.value.code == "bundle-missing"
    assert "edge-seg convert" in caught.value.remedy


def test_a_folder_of_bundles_names_them(folder: Path, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    for name in ("b", "a"):
        shutil.copytree(folder, shelf / name)
    (shelf / "notes").mkdir()
    with pytest.raises(BundleError, match="a folder of bundles") as caught:
        open_bundle(shelf)
    assert caught.value.remedy == f"give one of them: {shelf / 'a'}, {shelf / 'b'}"


def test_an_altered_file_is_told(folder: Path) -> None:
    (folder / "mask.nb").write_bytes(b"mask.nB")
    with pytest.raises(BundleError, match=r"mask\.nb: altered or damaged") as caught:
        open_bundle(folder)
    assert caught.value.code == "hash-mismatch"


@pytest.mark.parametrize("name", ["detect.nb", "golden/a.json"])
def test_a_missing_file_is_told(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: missing") as caught:
        open_bundle(folder)
    assert caught.value.code == "file-missing"


@pytest.mark.parametrize("schema", [0, 2, True, 1.0, "1", None])
def test_another_schema_is_refused(folder: Path, schema: Any) -> None:
    edit(folder, lambda plain: plain.update(schema=schema))
    with pytest.raises(BundleError, match="expected 1") as caught:
        open_bundle(folder)
    assert caught.value.code == "manifest-schema"


@pytest.mark.parametrize("content", ["", "[]", "null", "{", '{"schema": 1, "x": NaN}', '{"schema": 1}'])
def test_no_manifest_at_all_is_refused(folder: Path, content: str) -> None:
    (folder / "manifest.json").write_text(content)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        open_bundle(folder)


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["extra"], 1, "extra: unknown field"),
        (["classes"], [], "at least one class"),
        (["classes"], "disc", "expected a list"),
        (["classes", 0], 5, r"classes\[0\]: expected str, found 5"),
        (["category_ids"], [1], "2 different ids"),
        (["category_ids"], [1, 1], "2 different ids"),
        (["category_ids", 0], True, "expected int, found True"),
        (["proposals"], 0, "proposals: expected at least 1"),
        (["preprocess", "size"], [320], "expected 2 values"),
        (["preprocess", "size"], [330, 320], "multiples of 32"),
        (["preprocess", "size"], [-32, 320], "multiples of 32"),
        (["preprocess", "size"], [0, 320], "multiples of 32"),
        (["preprocess", "color"], "YUV", "RGB or BGR"),
        (["preprocess", "std", 2], 0, "values above 0"),
        (["preprocess", "mean", 0], "0.4", "expected a number"),
        (["preprocess", "pad"], 10**400, "expected a number"),
        (["preprocess", "resize"], "stretch", "expected letterbox-linear"),
        (["postprocess", "keep"], 0, "keep: expected at least 1"),
        (["postprocess", "nms_iou"], 1.5, "between 0 and 1"),
        (["graphs"], [], "expected an object"),
        (["graphs", "mask", "files"], {}, "at least one file"),
        (["graphs", "mask", "inputs", 0, "shape"], None, r"inputs\[0\]\.shape: expected a list"),
        (["golden"], None, "expected an object"),
        (["golden", "image"], "golden/other.png", "a hash of golden/other.png"),
        (["golden", "instances"], "3", "expected int"),
        (["random_weights"], 1, "expected bool"),
        (["source", "run"], nested(17), r"source\.run: expected finite numbers, and at most 16 levels"),
        (["source"], {"a": nested(900)}, "at most 16 levels"),
        (["classes"], nested(900), "classes"),
    ],
)
def test_what_does_not_fit_is_told(folder: Path, keys: list[Any], value: Any, message: str) -> None:
    def change(plain: Any) -> None:
        for key in keys[:-1]:
            plain = plain[key]
        plain[keys[-1]] = value

    edit(folder, change)
    with pytest.raises(BundleError, match=message) as caught:
        open_bundle(folder)
    assert caught.value.code == "manifest-invalid"
    assert str(folder / "manifest.json") in caught.value.message


@pytest.mark.parametrize(("text", "message"), [('"pad": 0.0', "pad"), ('"boxes": 0.0001', "verification")])
def test_infinity_is_no_number(folder: Path, text: str, message: str) -> None:
    file = folder / "manifest.json"
    assert text in file.read_text()
    file.write_text(file.read_text().replace(text, text.split()[0] + " 1e999"))
    with pytest.raises(BundleError, match=message) as caught:
        open_bundle(folder)
    assert caught.value.code == "manifest-invalid"


def test_all_faults_are_named(folder: Path) -> None:
    (folder / "mask.nb").write_bytes(b"mask.nB")
    (folder / "golden/a.json").unlink()
    bundle, faults = examine_bundle(folder)
    found = {name: fault.code for name, fault in faults.items()}
    assert found == {"mask.nb": "hash-mismatch", "golden/a.json": "file-missing"}
    assert set(bundle.files) == {"detect.nb", "mask.nb", "golden/a.png", "golden/a.json"}


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../../secret", "", ".", "a\\b", "nul\0", "\ud800", "x" * 5000]
)
def test_no_file_outside_the_bundle_is_read(folder: Path, name: str) -> None:
    (folder.parent / "secret").write_text("s")
    edit(folder, lambda plain: plain["graphs"]["mask"].update(files={name: digest(b"s")}))
    with pytest.raises(BundleError, match="leads out of the bundle"):
        open_bundle(folder)


def test_no_link_leads_out_of_the_bundle(folder: Path) -> None:
    (folder.parent / "secret").write_bytes(b"mask.nb")
    (folder / "mask.nb").unlink()
    (folder / "mask.nb").symlink_to("../secret")
    with pytest.raises(BundleError, match="leads out of the bundle"):
        open_bundle(folder)


def test_links_in_a_circle_are_refused(folder: Path) -> None:
    (folder / "mask.nb").unlink()
    (folder / "mask.nb").symlink_to("mask.nb")
    with pytest.raises(BundleError, match=r"mask\.nb"):
        open_bundle(folder)

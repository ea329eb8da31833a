"""Manifests and archives that a stranger wrote or damaged: refused by name or taken, never a surprise."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_seg.archive import unpack
from edge_seg.bundle import open_bundle, own_files, write_manifest
from edge_seg.bundles.check import check
from edge_seg.errors import BundleError, DataError
from tests.bundles.made import make_bundle
from tests.strategies import damaged, edit_one, lasting


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("strangers") / "sound")


@given(st.data())
@settings(lasting, max_examples=100)
def test_no_edited_manifest_is_a_surprise(sound: Path, data: st.DataObject) -> None:
    file = sound / "manifest.json"
    before = file.read_bytes()
    plain = json.loads(before)
    edit_one(data, plain)
    try:
        file.write_text(json.dumps(plain))
        own_files(sound)
        shown = str(check(sound))  # every problem is in the report
        assert all(c.isprintable() or c == "\n" for c in shown)
        with contextlib.suppress(BundleError):
            open_bundle(sound)
    finally:
        file.write_bytes(before)


@given(st.binary(max_size=100))
@settings(lasting, max_examples=50)
def test_no_noise_is_a_manifest(sound: Path, noise: bytes) -> None:
    file = sound / "manifest.json"
    before = file.read_bytes()
    try:
        file.write_bytes(noise)
        with pytest.raises(BundleError):
            open_bundle(sound)
    finally:
        file.write_bytes(before)


def test_a_manifest_comes_back(sound: Path, tmp_path: Path) -> None:
    manifest = open_bundle(sound).manifest
    write_manifest(tmp_path, manifest)
    assert (tmp_path / "manifest.json").read_bytes() == (sound / "manifest.json").read_bytes()


NAMES = st.text(alphabet="ab/.\\:\x1b\0é", max_size=12)


@given(
    st.lists(st.tuples(NAMES, st.binary(max_size=20)), max_size=6),
    st.data(),
    st.sampled_from(["", "gz", "bz2", "xz"]),
)
@settings(lasting, max_examples=80)
def test_no_archive_writes_outside(
    tmp_path: Path, entries: list[tuple[str, bytes]], data: st.DataObject, kind: str
) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=f"w:{kind}") as tarred:  # type: ignore[call-overload]
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            with contextlib.suppress(ValueError):  # what tarfile itself can't write
                tarred.addfile(info, io.BytesIO(content))
    content = packed.getvalue()
    if data.draw(st.booleans()):
        content = damaged(data, content)
    inside = tmp_path / "inside"
    inside.mkdir(exist_ok=True)
    (tmp_path / "a").write_bytes(content)
    with contextlib.suppress(DataError):  # the only exception that it may raise
        unpack(tmp_path / "a", inside / "out", DataError)
    assert [path.name for path in inside.iterdir()] in ([], ["out"])
    shutil.rmtree(inside)
    assert {path.name for path in tmp_path.iterdir()} == {"a"}

"""Settings beside an imported model, as a stranger may have written them."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.importers.settings import INFER_CFG, MODEL_YML, read_config
from edge_seg.errors import ConversionError

SOUND = """
mode: paddle
arch: MaskRCNN
mask: true
label_list: &names
- cat
- dog
Preprocess:
- interp: 1
  keep_ratio: true
  target_size: &size
  - 320
  - 320
  type: Resize
- is_scale: true
  mean: [0.485, 0.456, 0.406]
  std: [0.229, 0.224, 0.225]
  type: NormalizeImage
- type: Permute
"""


def settings_file(folder: Path, content: str | bytes, name: str = INFER_CFG) -> Path:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / name


def bomb(lines: int = 12) -> str:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, lines)]
    return "\n".join(levels)


def merged(lines: int = 9) -> str:
    levels = ["a0: &a0 {x: 1}"]
    levels += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, lines)]
    return "\n".join(levels)


def test_anchors_and_aliases_are_read(tmp_path: Path) -> None:
    config = read_config(settings_file(tmp_path, SOUND + "other: *names\nmore: *size\n"))
    assert (config.classes, config.architecture) == (("cat", "dog"), "MaskRCNN")


@pytest.mark.parametrize("name", [INFER_CFG, MODEL_YML])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bomb() + "\nPreprocess: *a11\nTransforms: *a11\nlabel_list: *a11\narch: *a11", "more than 100,000 values"),
        (SOUND + bomb(), "more than 100,000 values"),
        (SOUND + merged(), "merged"),
        ("a: &a [*a]\nPreprocess: *a", "more than 100,000 values"),
        ("x" * 300_000, "300,000 bytes, expected at most 262,144"),
        ("[" * 10_000, "can't be used"),
        (b"\xff\xfe", "can't be used"),
        ("a: " + "1" + ":00" * 80_000, "can't be used"),
    ],
)
def test_what_would_take_hours_is_refused_at_once(name: str, content: str | bytes, said: str, tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(ConversionError, match=said):
        read_config(settings_file(tmp_path, content, name))
    assert time.monotonic() - begin < 20


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_settings_are_refused_or_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(SOUND.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 5))] = data.draw(
            st.sampled_from([b"*names", b"&x", b"- ", b"{", b"nan", b"1e999", b"!!python/tuple", b"\n", b":", b"\0"])
        )
    with contextlib.suppress(ConversionError):  # the only exception that it may raise
        read_config(settings_file(tmp_path_factory.getbasetemp(), bytes(content)))

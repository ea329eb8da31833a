"""What a stranger wrote, on a terminal."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_seg.printable import PrintableStream, printable
from tests.bundles.made import make_bundle
from tests.conftest import ROOT

TITLE = "\x1b]0;owned\x07"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (TITLE, "\\x1b]0;owned\\x07"),
        ("a\x9b2Jb", "a\\x9b2Jb"),
        ("abc\u202egpj.exe", "abc\\u202egpj.exe"),
        ("grün 箱 été", "grün 箱 été"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    stream = io.StringIO()
    assert PrintableStream(stream).write(text) == len(text)
    assert stream.getvalue() == shown
    assert printable(text) == shown


def test_lines_tabs_and_lines_that_renew_themselves_stay() -> None:
    stream = io.StringIO()
    PrintableStream(stream).writelines(["a\n", "\tb\r", "c"])
    assert stream.getvalue() == "a\n\tb\rc"
    assert printable("a\nb\tc") == "a\\nb\\tc"


def test_long_lines_are_cut() -> None:
    assert printable("x" * 201) == "x" * 200 + "…"


@given(st.text())
def test_nothing_else_is_changed(text: str) -> None:
    stream = io.StringIO()
    PrintableStream(stream).write(text)
    if all(c.isprintable() for c in text):
        assert stream.getvalue() == text
    assert "\x1b" not in stream.getvalue()


def test_no_command_lets_a_control_sequence_through(tmp_path: Path) -> None:
    """On a real terminal: results, notes and errors with names of a stranger's in them."""
    bundle = make_bundle(tmp_path / "bundle", classes=(TITLE, "star"), name=TITLE, source={TITLE: TITLE})
    (tmp_path / f"no {TITLE.replace('/', '')}").mkdir()
    for words in (
        ["bundle", "show", bundle],
        ["bundle", "check", bundle],
        ["bundle", "show", tmp_path / f"no {TITLE}"],
        ["predict", bundle, tmp_path / f"no {TITLE}" / "x.jpg", "--out", tmp_path / "out"],
    ):
        shown = on_a_terminal([sys.executable, "-m", "edge_seg.cli", *map(str, words)])
        assert b"owned" in shown, words
        assert b"\x1b" not in shown, words


def on_a_terminal(command: list[str]) -> bytes:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 1 << 16):
            shown += block
    except OSError:  # Linux's way to say that the other end was closed
        pass
    os.close(ours)
    process.wait(timeout=60)
    return shown

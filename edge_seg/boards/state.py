"""What is on a board: its versions of edge-seg, and what the board itself is. Asked by one shell script.

On the board::

    versions/3f2a…/     run, edge-seg-run, lib/, bundle/: one folder for each version
    run                 → versions/3f2a…/run, what runs
    previous            → versions/90cd…/run, what ran before
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from edge_seg.targets.remote import Board

SELF_TEST = "self-test.json"
"""In a version's folder: when its last self-test passed there, and how."""

# $1: folder, $2: a program's loader or "". Prints lines of a key and a value, then the versions, newest first.
LOOK = r"""
cd -- "$1" || exit
echo "machine=$(uname -m)"
echo "bits=$(getconf LONG_BIT 2>/dev/null)"
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || libc=$(ldd --version 2>/dev/null | sed -n '1s/.* /glibc /p')
echo "libc=$libc"
if [ -n "$2" ] && [ ! -e "$2" ]; then echo "loader=missing"; fi
sed -n 's/^Features[^:]*:/features=/p' /proc/cpuinfo 2>/dev/null | sort -u
for link in run previous; do
  to=
  if [ -h "$link" ]; then to=$(readlink "$link"); fi
  to=${to#versions/}
  echo "$link=${to%/run}"
done
if [ -d versions ]; then ls -t versions; fi
"""

# $1: folder, $2: version. Prints its manifest, then what its last self-test was, each after a mark.
TELL = f"""
cd -- "$1/versions/$2" || exit
echo '@manifest'; cat bundle/manifest.json; echo
echo '@self-test'; if [ -f {SELF_TEST} ]; then cat {SELF_TEST}; echo; fi
"""


@dataclass(frozen=True)
class State:
    """What is on a board. ``current`` and ``previous`` are among ``versions`` (newest first), or None.

    ``machine`` is what ``uname -m`` prints, ``bits`` the word size of its programs, ``glibc`` the C library's version
    (each None where the board doesn't tell); ``features`` are those that all of its cores have, None on x86.
    """

    machine: str
    current: str | None
    previous: str | None
    versions: tuple[str, ...]
    bits: int | None = None
    glibc: tuple[int, ...] | None = None
    loader: bool = True
    features: frozenset[str] | None = None


def look(board: Board, loader: str = "") -> State:
    """What is on the board now; ``loader`` is the dynamic loader of a program that is to run there."""
    keys: dict[str, str] = {}
    cores: list[set[str]] = []
    versions = []
    for line in board.ask(LOOK, board.folder, loader).splitlines():
        key, equals, value = line.partition("=")
        if key == "features":
            cores.append(set(value.split()))
        elif equals:
            keys[key] = value
        elif not line.endswith(".partial"):
            versions.append(line)
    current, before = (name if (name := keys.get(link)) in versions else None for link in ("run", "previous"))
    return State(
        keys.get("machine", ""),
        current,
        before,
        tuple(versions),
        int(keys["bits"]) if keys.get("bits", "").isdecimal() else None,
        _glibc(keys.get("libc", "")),
        keys.get("loader") != "missing",
        frozenset(set.intersection(*cores)) if cores else None,
    )


def _glibc(text: str) -> tuple[int, ...] | None:
    name, _, version = text.partition(" ")
    parts = version.split(".")
    return (
        tuple(map(int, parts[:2])) if name == "glibc" and len(parts) >= 2 and all(map(str.isdecimal, parts)) else None
    )


@dataclass(frozen=True)
class Running:
    """The version that runs on a board: its bundle, and when and how its last self-test passed there."""

    bundle: str
    recipe: str
    engine: str
    tested: str | None
    self_test: dict[str, Any] | None
    release: int = 0
    """The version in the bundle's manifest."""

    def as_json(self) -> dict[str, Any]:
        return {
            "bundle": self.bundle,
            "recipe": self.recipe,
            "engine": self.engine,
            "tested": self.tested,
            "self_test": self.self_test,
            "release": self.release,
        }

    def __str__(self) -> str:
        tested = f"self-test passed {self.tested}" if self.tested else "never tested since edge-seg keeps note of it"
        return f"{self.bundle}, {self.recipe} on {self.engine}; {tested}"


def running(board: Board, version: str) -> Running | None:
    """What the board's own files say of a version; None where its manifest can't be read."""
    _, _, rest = board.ask(TELL, board.folder, version).partition("@manifest\n")
    text, _, tested = rest.partition("@self-test\n")
    try:
        manifest = json.loads(text)
        engine = f"{manifest['engine']} {manifest['engine_version']}"
        note = json.loads(tested) if tested.strip() else {}
        release = manifest.get("version", 0)
        return Running(
            str(manifest["name"]),
            str(manifest["recipe"]),
            engine,
            note.get("time"),
            note.get("self_test"),
            release if type(release) is int else 0,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None

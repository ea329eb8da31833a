"""What differs between two bundles: fields, tensors, files, sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.bundle import MANIFEST, Bundle
from edge_seg.bundles.text import megabytes, phrase, table, tensor
from edge_seg.files import sha256
from edge_seg.signature import SIGNATURE, read_signature
from edge_seg.words import counted

LISTED_WHOLE = 4
"""Longer lists (classes) are compared item by item."""


@dataclass(frozen=True)
class Side:
    """One of the two: its fields by dotted name, its tensors by place, its files with ``bytes`` and ``sha256``."""

    path: Path
    id: str
    fields: dict[str, Any]
    tensors: dict[str, str]
    files: dict[str, dict[str, Any]]

    @property
    def bytes(self) -> int:
        return sum(file["bytes"] for file in self.files.values())


@dataclass(frozen=True)
class Difference:
    """Two bundles side by side; they are the same when all their files are."""

    a: Side
    b: Side

    @property
    def same(self) -> bool:
        return self.a.files == self.b.files

    @property
    def exit_code(self) -> int:
        return 0 if self.same else 1

    def as_json(self) -> dict[str, Any]:
        """What only one side has lacks the other's key."""
        sides = {
            name: {"path": str(side.path), "id": side.id, "bytes": side.bytes}
            for name, side in (("a", self.a), ("b", self.b))
        }
        return {"same": self.same, **sides, **{kind: self._differing(kind) for kind in ("fields", "tensors", "files")}}

    def __str__(self) -> str:
        if self.same:
            return f"the same bundle: {self.a.id}"
        lines = [f"a  {self.a.path}  {self.a.id}", f"b  {self.b.path}  {self.b.id}"]
        for kind in ("fields", "tensors", "files"):
            say = _said_file if kind == "files" else _said
            rows = [(item["name"], say(item)) for item in self._differing(kind)]
            lines += [kind, table(rows)] if rows else []
        a, b = self.a.bytes, self.b.bytes
        lines.append(f"in all {megabytes(a)} → {megabytes(b)} ({b - a:+d} bytes)")
        return "\n".join(lines)

    def _differing(self, kind: str) -> list[dict[str, Any]]:
        """Of each name that differs: ``name``, and its value in ``a`` and in ``b``, where it has one."""
        a, b = getattr(self.a, kind), getattr(self.b, kind)
        return [
            {"name": name, **{side: values[name] for side, values in (("a", a), ("b", b)) if name in values}}
            for name in dict.fromkeys([*a, *b])
            # As text, because True, 1 and 1.0 are equal to Python but not to a reader of the manifest
            if name not in a or name not in b or repr(a[name]) != repr(b[name])
        ]


def compare(a: Bundle, b: Bundle) -> Difference:
    """Both must be whole: what a damaged one holds, no comparison can tell. Raises BundleError for a bad signature."""
    return Difference(_side(a), _side(b))


def _side(bundle: Bundle) -> Side:
    plain = dataclasses.asdict(bundle.manifest)
    tensors = {}
    for name, graph in bundle.manifest.graphs.items():
        # Which files a graph has; what is in them, their hashes say.
        plain["graphs"][name] = {"files": sorted(graph.files)}
        for end in ("inputs", "outputs"):
            for place, spec in enumerate(getattr(graph, end)):
                tensors[f"{name}.{end}[{place}]"] = tensor(spec)
    plain["golden"]["files"] = sorted(bundle.manifest.golden.files)
    hashes = {MANIFEST: bundle.id, **bundle.files}
    if read_signature(bundle.path / SIGNATURE):
        hashes[SIGNATURE] = sha256(bundle.path / SIGNATURE)
    files = {name: {"bytes": (bundle.path / name).stat().st_size, "sha256": digest} for name, digest in hashes.items()}
    return Side(bundle.path, bundle.id, dict(_flat(plain)), tensors, files)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by dotted name: ``preprocess.size``, ``classes[3]``."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else key)
    elif isinstance(value, (list, tuple)) and len(value) > LISTED_WHOLE:
        for place, item in enumerate(value):
            yield from _flat(item, f"{name}[{place}]")
    else:
        yield name, list(value) if isinstance(value, tuple) else value


def _said(item: dict[str, Any]) -> str:
    a, b = (phrase(item[side]) if side in item else "absent" for side in ("a", "b"))
    return f"{a} → {b}"


def _said_file(item: dict[str, Any]) -> str:
    if "a" not in item or "b" not in item:
        side = "a" if "a" in item else "b"
        return f"only in {side}, {counted(item[side]['bytes'], 'byte')}"
    a, b = item["a"]["bytes"], item["b"]["bytes"]
    return f"{a:,} → {counted(b, 'byte')}" if a != b else f"{counted(a, 'byte')} in both, contents differ"

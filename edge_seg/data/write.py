"""Writes a data set: ``train.json``, ``val.json`` …, ``images/``, and a log of what was changed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from edge_seg.data.dataset import CocoDataset
from edge_seg.data.findings import Finding
from edge_seg.data.locate import name_parts
from edge_seg.files import atomic_dir, named

LOG = "changes.jsonl"
"""One line for each thing that was mended or left out."""

Progress = Callable[[int, int], None]


def write_dataset(
    out: Path,
    splits: Mapping[str, CocoDataset],
    *,
    log: Iterable[Finding] | None = None,
    root: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Writes ``splits`` into the new folder ``out``; it is there whole or not at all.

    Images are hard links to the originals where the file system allows it, copies otherwise. They keep their names;
    where two have one, the folders below ``root`` come before it. ``log`` becomes ``changes.jsonl``. Raises
    :class:`UsageError` when ``out`` exists and isn't an empty folder.
    """
    total, done = sum(len(dataset) for dataset in splits.values()), 0
    names = _names([record.path for dataset in splits.values() for record in dataset.images], root)
    with atomic_dir(out) as partial:
        (partial / "images").mkdir()
        for split, dataset in splits.items():
            plain = dataset.as_coco()
            for entry, record in zip(plain["images"], dataset.images, strict=True):
                entry["file_name"] = names[record.path]
                target = partial / "images" / names[record.path]
                if not target.exists():
                    place(record.path, target)
                done += 1
                if progress is not None:
                    progress(done, total)
            _write(partial / f"{split}.json", json.dumps(plain, separators=(",", ":"), allow_nan=False) + "\n")
        if log is not None:
            _write(partial / LOG, "".join(json.dumps(finding.as_json()) + "\n" for finding in log))


def place(source: Path, target: Path) -> None:
    """Puts the file ``source`` at ``target`` as a hard link, or as a copy where that can't be."""
    with contextlib.suppress(OSError):
        os.link(source.resolve(), target)
        return
    with named(target):
        shutil.copyfile(source, target)


def _names(paths: list[Path], root: Path | None) -> dict[Path, str]:
    """A name for each file that no other gets, also where upper and lower case are one."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    unique = list(dict.fromkeys(paths))
    counts = Counter(path.name.casefold() for path in unique)
    for path in unique:
        name = path.name
        if counts[name.casefold()] > 1:
            with contextlib.suppress(ValueError):
                name = "_".join(path.relative_to(root).parts if root is not None else name_parts(str(path)))
        stem, dot, ending = name.rpartition(".")
        number = 2
        while name.casefold() in taken:
            name = f"{stem}-{number}{dot}{ending}"
            number += 1
        taken.add(name.casefold())
        names[path] = name
    return names


def _write(file: Path, text: str) -> None:
    with named(file):
        file.write_text(text, encoding="utf-8")

"""Changes to a data set's classes: other names, several made one, some taken out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from edge_seg.errors import UsageError


@dataclass
class ClassEdits:
    """``renamed`` maps a class, by name or as "#ID", to its new name (several may get one); ``dropped`` go.

    ``used`` collects what was met, so that :meth:`check` can tell what never was.
    """

    renamed: dict[str, str] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    used: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.renamed or self.dropped)

    def name(self, category_id: object, name: str) -> str | None:
        """The class's new name, or None when it is dropped."""
        for key in (f"#{category_id}", name):
            if key in self.dropped:
                self.used.add(key)
                return None
            if key in self.renamed:
                self.used.add(key)
                return self.renamed[key]
        return name

    def merges(self, name: str) -> bool:
        """Whether it is wanted that several categories have this name."""
        return name in self.renamed.values()

    def check(self, classes: Iterable[str]) -> None:
        """Raises :class:`UsageError` for a class that isn't in the data set."""
        for key in (*self.renamed, *self.dropped):
            if key not in self.used:
                raise UsageError(
                    f"no class {key!r} in the data set", remedy=f"its classes are {', '.join(map(repr, classes))}"
                )


def parse_edits(rename: Iterable[str], merge: Iterable[str], drop: Iterable[str]) -> ClassEdits:
    """Edits from the command line: ``OLD=NEW``, ``A,B=NAME`` and ``NAME``, each any number of times."""
    renamed: dict[str, str] = {}
    for option, texts in (("--rename", rename), ("--merge-classes", merge)):
        for text in texts:
            old, equals, new = text.rpartition("=")
            if not equals or not old or not new.strip():
                raise UsageError(f"{option} {text!r}: expected OLD=NEW", remedy="such as --rename 'Cat =cat'")
            for name in old.split(",") if option == "--merge-classes" else [old]:
                if renamed.setdefault(name, new) != new:
                    raise UsageError(f"{option} {text!r}: {name!r} gets two names")
    dropped = frozenset(drop)
    if both := dropped & renamed.keys():
        raise UsageError(f"--drop {min(both)!r}: it is renamed as well")
    return ClassEdits(renamed, dropped)

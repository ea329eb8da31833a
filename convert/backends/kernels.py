"""Which operators Paddle Lite has kernels for, as its own optimiser tells: nothing here is copied from a list."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from convert.backends.opt import refuse_missing
from edge_seg.errors import ConversionError
from edge_seg.process.child import no_core_file, run_module

LIMIT_S = 120.0
TARGETS = {"arm": "kARM", "x86": "kX86"}
_HOST, _NONE = "kHost", "kUnk"


@dataclass(frozen=True)
class Kernels:
    """What each operator that ``opt`` lets pass for a target runs on: the target, the host (plain C++), or nothing.

    An operator with nothing is one that opt expects to fuse into another; where it can't, it fails.
    """

    target: str
    table: Mapping[str, frozenset[str]]

    def place(self, kind: str) -> str:
        """``arm`` or ``x86``, ``host``, ``fused``, or ``none``: opt refuses the operator."""
        found = self.table.get(kind)
        if found is None:
            return "none"
        if TARGETS[self.target] in found:
            return self.target
        return "host" if _HOST in found else "fused"


@lru_cache(maxsize=4)
def kernels(target: str) -> Kernels:
    """Asks ``opt`` in a child process. Raises :class:`MissingDependencyError` where there is none."""
    outcome = run_module("convert.backends.kernels", target, limit_s=LIMIT_S)
    refuse_missing(outcome)
    table = parse_table(outcome.stdout) if outcome.ok else {}
    if not table:
        raise ConversionError(
            f"Paddle Lite's opt doesn't tell its operators: it {outcome.ending()}: {outcome.tail(2)}",
            remedy="install paddlelite anew; edge-seg doctor, without a model, examines the machine",
            code="opt-failed",
        )
    return Kernels(target, table)


def parse_table(text: str) -> dict[str, frozenset[str]]:
    """Rows of ``print_supported_ops()``: a name, and a Y under each place that has a kernel, aligned to the right."""
    lines = text.splitlines()
    head = next((index for index, line in enumerate(lines) if line.split()[:1] == ["OP_name"]), None)
    if head is None:
        return {}
    ends = {}
    for name in lines[head].split():
        ends[name] = lines[head].index(f" {name}") + len(name)
    table = {}
    for line in lines[head + 1 :]:
        words = line.split()
        if words and set(words[1:]) <= {"Y"}:
            table[words[0]] = frozenset(place for place, end in ends.items() if line[end : end + 1] == "Y")
    return table


if __name__ == "__main__":
    no_core_file()
    import paddlelite.lite as lite  # type: ignore[import-not-found,import-untyped,unused-ignore]

    opt = lite.Opt()
    opt.set_valid_places(sys.argv[1])
    opt.print_supported_ops()

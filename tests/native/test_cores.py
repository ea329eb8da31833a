"""One list of Arm's cores for both languages."""

from __future__ import annotations

import re
from pathlib import Path

from edge_seg.records import CORES

TABLE = Path(__file__).parents[2] / "cmake" / "src" / "engines" / "arm_cores.h"
ARM = 0x41


def test_both_languages_know_the_same_cores() -> None:
    found = re.findall(r'\{(0x\w+), "([^"]+)"(?:, (0x\w+))?\}', TABLE.read_text())
    assert {int(part, 16): name for part, name, _ in found} == {
        part: name for (maker, part), name in CORES.items() if maker == ARM
    }
    assert len(found) == len(CORES)
    parts = [int(part, 16) for part, _, _ in found]
    assert parts == sorted(parts)
    shown = {int(part, 16): int(as_, 16) for part, _, as_ in found if as_}
    assert set(shown.values()) <= set(parts) - set(shown), "a core is shown as one that the library knows"


def test_cores_that_boards_of_today_have() -> None:
    names = {part: name for (_, part), name in CORES.items()}
    expected = {0xD4D: "Cortex-A715", 0xD4E: "Cortex-X3", 0xD81: "Cortex-A720", 0xD49: "Neoverse-N2"}
    assert {part: names[part] for part in expected} == expected
    assert names[0xD4F] == "Neoverse-V2"

"""``edge-seg`` as a child that writes the most memory it took, in KiB, to the file that ``EDGE_SEG_PEAK`` names."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from edge_seg import cli


def note_peak() -> None:
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    Path(os.environ["EDGE_SEG_PEAK"]).write_text(found[1] if found else "0")


if __name__ == "__main__":
    really = os._exit

    def leave(code: int) -> None:
        note_peak()
        really(code)

    os._exit = leave  # type: ignore[assignment]  # how a guarded child ends
    answer = cli.main()
    note_peak()
    sys.exit(answer)

"""``edge-seg`` as a child that writes the most memory it took, in KiB, to the file that ``EDGE_SEG_PEAK`` names."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from pathlib import Path

from edge_seg import cli

writing = threading.Lock()


def watch() -> None:
    """Notes it from time to time as well: a library may end the process."""
    while True:
        note_peak()
        time.sleep(0.05)


def note_peak() -> None:
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    file = Path(os.environ["EDGE_SEG_PEAK"])
    beside = file.with_name(f"{file.name}.new")
    with writing:
        beside.write_text(found[1] if found else "0")
        beside.replace(file)


if __name__ == "__main__":
    really = os._exit

    def leave(code: int) -> None:
        note_peak()
        really(code)

    os._exit = leave  # type: ignore[assignment]  # how a guarded child ends
    threading.Thread(target=watch, daemon=True).start()
    answer = cli.main()
    note_peak()
    sys.exit(answer)

"""The command ``edge-seg``, also as ``python -m edge_seg``: Ctrl-C while the rest is imported is one word as well."""

from __future__ import annotations

import os
import signal
import sys


def _stop(_number: int, _frame: object) -> None:
    # Not KeyboardInterrupt: an import may swallow it or turn it into an error of its own. Nothing has begun so far.
    try:
        os.write(2, b"stopped\n")
        if "--json" in sys.argv:
            os.write(1, b'{"error": {"code": "interrupted", "message": "stopped", "remedy": ""}}\n')
    finally:
        os._exit(130)


# Here, because the script that pip writes has work of its own to do before it calls main(). Ignored stays ignored.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _stop)


def main() -> int:
    """Runs the process's command line and returns its exit code."""
    from edge_seg import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())

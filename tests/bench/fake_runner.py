"""A runner that opens no bundle: it says what the protocol asks for, and fails as its first argument says."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from typing import Any


def say(kind: str, **values: Any) -> None:
    print(json.dumps({"type": kind, **values}), flush=True)


def main() -> None:
    fault = sys.argv[1]
    parser = argparse.ArgumentParser()
    parser.add_argument("--bundle")
    parser.add_argument("--images", nargs="+")
    parser.add_argument("--warmup", type=int)
    parser.add_argument("--repeat", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--instances", type=int)
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(sys.argv[2:])
    say("hello", runner="fake", version="0")
    if fault == "error":
        say("error", code="wrong-target", message="an Arm bundle on an x86 host", remedy="convert with x86-fp32")
        sys.exit(1)
    say("load", ns=5_000_000)
    if options.self_test:
        say("self_test", passed=True)
    if fault == "killed":
        print("libfake: assertion failed", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGABRT)
    if fault == "shell-code":
        sys.exit(128 + signal.SIGSEGV)
    say("first_run", ns=9_000_000)
    if fault == "garbage":
        print("[I 2/13 fake.cc] a library's chatter", flush=True)
    if fault == "hang":
        time.sleep(60)
    for repeat in range(options.repeat - (fault == "one-missing")):
        for image in options.images:
            ns = {"pre": 1_000_000, "detect": 8_000_000, "nms": 500_000, "mask": 1_500_000, "post": 2_000_000}
            ns["total"] = sum(ns.values())
            if fault == "no-stage":
                del ns["mask"]
            count = 3 if options.instances is None else options.instances
            say("sample", image=image, repeat=repeat, instances=count, ns=ns)
    if fault == "exit-3":
        sys.exit(3)
    if fault != "no-memory":
        say("memory", load_bytes=100_000_000, peak_bytes=123_456_789)
    if fault == "no-done":
        return
    say("done")
    if fault == "late-death":
        os.kill(os.getpid(), signal.SIGSEGV)


main()

"""A runner that opens no bundle: it says what the protocol asks for, and fails as its first argument says."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from typing import Any

STAGES = {"pre": 1_000_000, "detect": 8_000_000, "nms": 500_000, "mask": 1_500_000, "post": 2_000_000}
# Of a sample's line: what takes its place, field by field. JSON says what Python's json module doesn't write.
SAMPLES: dict[str, dict[str, Any]] = {
    "negative": {"ns": {**STAGES, "total": 13_000_000, "detect": -8_000_000}},
    "negative-total": {"ns": {**STAGES, "total": -1}},
    "stages-beyond-total": {"ns": {**STAGES, "total": 12_999_999}},
    "zero-total": {"ns": {**dict.fromkeys(STAGES, 0), "total": 0}},
    "float-time": {"ns": {**STAGES, "total": 13_000_000.5}},
    "text-time": {"ns": {**STAGES, "total": "13000000"}},
    "bool-time": {"ns": {**STAGES, "total": True}},
    "huge-time": {"ns": {**STAGES, "total": 10**30}},
    "years": {"ns": {**STAGES, "total": 10**17}},
    "no-times": {"ns": None},
    "times-are-a-list": {"ns": [1, 2]},
    "many-stages": {"ns": {**STAGES, "total": 13_000_000, **{f"s{i}": 0 for i in range(1000)}}},
    "other-image": {"image": "/etc/passwd"},
    "image-is-a-list": {"image": []},
    "repeat-beyond": {"repeat": 10**6},
    "negative-repeat": {"repeat": -1},
    "same-repeat": {"repeat": 0},
    "negative-instances": {"instances": -3},
    "instances-are-text": {"instances": "3"},
    "more-instances": {"instances": 77},
    "negative-cpu": {"cpu_ns": -1},
    "impossible-cpu": {"cpu_ns": 10**15},
    "one-start-for-all": {"start_ns": 10**9},
    "long-sample": {"more": "x" * 100_000},
    "long-stage-name": {"ns": {**STAGES, "total": 13_000_000, "x" * 1000: 1}},
    "nul-image": {"image": "a\x00b"},
    "surrogate-image": {"image": "\ud800"},
    "deep": {"more": json.loads("[" * 60 + "]" * 60)},
}
LINES = {
    "infinite": '{"type": "memory", "load_bytes": 1e999, "peak_bytes": 1}',
    "nan": '{"type": "memory", "load_bytes": NaN}',
    "negative-memory": '{"type": "memory", "load_bytes": -1, "peak_bytes": 1}',
    "negative-pages": '{"type": "memory", "load_bytes": 1, "peak_bytes": 1, "huge_bytes": -1}',
    "long-number": '{"type": "memory", "load_bytes": ' + "9" * 5000 + "}",
    "unknown-type": '{"type": "telemetry"}',
    "no-type": "{}",
    "an-array": "[1, 2, 3]",
    "nested": "[" * 100_000,
    "second-hello": '{"type": "hello"}',
    "type-is-a-list": '{"type": ["sample"]}',
    "two-objects-in-a-line": '{"type": "memory"} {"type": "memory"}',
    "cut-short": '{"type": "memory", "load_bytes": 1',
    "byte-order-mark": '\ufeff{"type": "memory"}',
    "same-key-twice": '{"type": "memory", "load_bytes": 1, "load_bytes": -1}',
    "a-result-without-end": '{"type": "result", "width": 1, "height": 1, "instances": [' + "1," * 200_000 + "1]}",
    "a-number": "1",
    "empty-line": "",
    "large-memory": '{"type": "memory", "more": "' + "x" * (1 << 20) + '"}',
}


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
    parser.add_argument("--cores")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(sys.argv[2:])
    if fault == "flood":
        while True:
            print("x" * 1000)
    if fault == "endless-line":
        while True:
            sys.stdout.write("x" * 100_000)
    if fault == "stderr-flood":
        for _ in range(50_000):
            print("x" * 1000, file=sys.stderr)
    if fault == "binary":
        sys.stdout.buffer.write(bytes(range(256)) * 1000 + b"\n")
        sys.stdout.flush()
    if fault == "sample-first":
        say("sample", image=options.images[0], repeat=0, instances=3, ns={**STAGES, "total": 13_000_000})
    if fault == "hello-is-long":
        say("hello", runner="fake", version="0" * (1 << 19))
    if fault == "hello-is-deep":
        say("hello", runner="fake", version=json.loads("[" * 40 + "]" * 40))
    say("hello", runner="fake", version="0")
    if fault == "error":
        say("error", code="wrong-target", message="an Arm bundle on an x86 host", remedy="convert with x86-fp32")
        sys.exit(1)
    if fault == "rude-error":
        say("error", code=["x"], message="\x1b]0;owned\x07\x1b[2J" + "y" * 100_000, remedy=None)
        sys.exit(1)
    if fault == "engine-is-text":
        say("load", ns=5_000_000, engine="fake 1.0")
    if fault == "load-takes-no-time":
        say("load", ns=-1)
    say("load", ns=5_000_000)
    if options.self_test:
        say("self_test", passed={"self-test-fails": False, "self-test-maybe": "yes"}.get(fault, True))
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
    while fault == "slow-drip":
        say("result", width=1, height=1, instances=[])
        time.sleep(0.05)
    if fault in LINES:
        print(LINES[fault], flush=True)
    start = 0
    for repeat in range(options.repeat - (fault == "one-missing")):
        if fault.startswith("dies-at-") and not options.self_test and repeat == int(fault.rpartition("-")[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.startswith("slow"):
            time.sleep(0.3)
        for image in options.images:
            ns = {**STAGES, "total": sum(STAGES.values())}
            if fault == "no-stage":
                del ns["mask"]
            start += 20_000_000 if fault != "clock-goes-back" or repeat < 2 else -50_000_000
            count = 3 if options.instances is None else options.instances
            sample = {"image": image, "repeat": repeat, "instances": count, "ns": ns, "start_ns": max(0, start)}
            say("sample", **{**sample, **SAMPLES.get(fault, {})})
    if fault == "exit-3":
        sys.exit(3)
    if fault not in ("no-memory", *LINES):
        say("memory", load_bytes=100_000_000, peak_bytes=123_456_789)
    if fault == "no-done":
        return
    say("done")
    while fault == "flood-after-done":
        say("sample", image=options.images[0], repeat=0, instances=3, ns={**STAGES, "total": 13_000_000})
    if fault == "late-death":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "never-ends":
        time.sleep(1000)


if __name__ == "__main__":
    main()

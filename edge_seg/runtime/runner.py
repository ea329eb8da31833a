"""The Python runner: ``python -m edge_seg.runtime.runner --bundle DIR --images FILE… --json``.

It opens a bundle, runs images through it and says what happened in JSON lines on stdout, each as soon as it is known
(of samples under 2 ms, several at once).
Every line has a ``type``:

- ``hello``: ``runner`` ("python"), ``version``, ``protocol``, ``python``, ``platform``, ``machine``, ``cpu`` (name,
  flags, cores, allowed_cores), ``libraries`` (versions);
- ``load``: ``ns``, ``engine`` (name, version, threads …), ``bundle`` (the manifest's name);
- ``first_run``: ``image``, ``instances``, ``ns`` by stage and in total; never part of the samples;
- ``sample``: ``image``, ``repeat`` (from 0), ``instances``, ``ns`` (pre, detect, nms, mask, post, total; where the
  runtime does the RoIAlign, also the parts trunk, proposals, roi_align, box_head, mask_head), ``cpu_ns`` (the process's
  CPU time, of all threads, within ``total``), ``start_ns`` (when it began, by a steady clock);
- ``result``, one an image: ``image``, ``width``, ``height``, ``instances`` (box, score, class, segmentation);
- ``self_test`` (with --self-test): ``passed``, numbers of instances ``expected``, ``found``, ``matched``, the worst
  differences ``box_px``, ``score``, ``mask_iou``, ``mask_pixels``, the ``tolerance`` and the ``faults``; an ``error``
  with the code ``self-test-failed`` follows unless it passed;
- ``memory``: ``load_bytes`` (the peak once loaded), ``peak_bytes`` (the peak at the end) and ``huge_bytes`` (held in
  pages of 2 MiB at the end), None where unknown;
- ``error``: ``code``, ``message``, ``remedy``; the last line then, and the exit code is 1 (2 for wrong usage);
- ``done``: the last line of a run without an error.

``total`` is measured around the whole, apart from the stages; reading and decoding the image is in neither. The
images are done one after the other, each with its own warm-up, so that a change in the number of objects, which makes
libraries prepare anew, falls into the warm-up.

The library runs in a guarded child process, so that even its abort becomes an ``error`` line.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING, Any, NoReturn

from edge_seg import __version__
from edge_seg.errors import EngineError, UsageError
from edge_seg.explain import explain
from edge_seg.process import guard

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_seg.runtime.result import Instances
    from edge_seg.runtime.segmenter import Segmenter

PROTOCOL = 1
STDIN = Path("-")
"""Among the images: names that are read from stdin, each image done as soon as its name has come."""
_LIBRARIES = ("numpy", "opencv-python", "opencv-python-headless", "pycocotools", "paddlelite", "paddlepaddle")

Say = Callable[..., None]

HELD_NS = 2_000_000
"""A sample that follows one sent less than this ago waits for the next line: sending takes longer than all the rest
that is done between two samples. Only samples under 2 ms ever wait, so what a kill can lose took no longer."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, remedy="--help lists the options")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m edge_seg.runtime.runner", description="Runs a bundle and measures it.", allow_abbrev=False
    )
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    parser.add_argument(
        "--images", type=Path, nargs="+", default=[], metavar="FILE", help="images; -: names on stdin, a line each"
    )
    parser.add_argument("--warmup", type=int, default=3, help="runs before those that count, an image (3)")
    parser.add_argument("--repeat", type=int, default=10, help="runs that count, an image (10)")
    parser.add_argument("--threads", type=int, default=0, help="threads; 0: the engine's choice")
    parser.add_argument("--instances", type=int, help="take exactly so many best boxes, whatever their scores")
    parser.add_argument("--score", type=float, help="keep what scores more than this (the bundle's)")
    parser.add_argument("--engine", help="engine (the bundle's)")
    parser.add_argument("--cores", help="run on these cores only: 4,5,6,7")
    parser.add_argument("--power-mode", default="no-bind", help="no-bind: this runner can't bind threads to cores")
    parser.add_argument("--self-test", action="store_true", help="compare the golden image's result")
    parser.add_argument("--public-key", type=Path, metavar="FILE", help="refuse what no key in FILE has signed")
    parser.add_argument("--save", type=Path, metavar="DIR", help="write overlay images there")
    parser.add_argument("--json", action="store_true", help="JSON lines (without it: the same lines, for people)")
    return parser


def _check(options: argparse.Namespace) -> None:
    if not options.images and not options.self_test:
        raise UsageError("nothing to do", remedy="give --images, --self-test or both")
    if options.save and STDIN in options.images:
        raise UsageError("--save: can't be had for names on standard input", remedy="name the images with --images")
    for name, least in (("warmup", 0), ("repeat", 1), ("threads", 0)):
        if getattr(options, name) < least:
            raise UsageError(f"--{name}: {getattr(options, name)} is less than {least}")
    if options.power_mode != "no-bind":
        raise UsageError(
            f"--power-mode: {options.power_mode!r} isn't possible in Python",
            remedy="leave it out and choose the cores with --cores, or use the native runner",
        )
    if options.cores is not None:
        _bind(options.cores)


def _bind(text: str) -> None:
    """Lets this process run on these cores only, before any library makes its threads."""
    words = text.split(",")
    if not all(word.isascii() and word.isdecimal() and len(word) < 6 for word in words):
        raise UsageError(f"--cores: {text!r} is no list of cores", remedy="give numbers of cores, such as 4,5,6,7")
    cores = {int(word) for word in words}
    there = os.sched_getaffinity(0)
    if others := sorted(cores - there):
        raise UsageError(
            f"--cores: {others[0]} can't be used here; this process may use {','.join(map(str, sorted(there)))}",
            remedy="name some of these",
        )
    os.sched_setaffinity(0, cores)


def run(options: argparse.Namespace, say: Say) -> None:
    """All lines from ``hello`` to ``done``. Raises :class:`EdgeSegError`, OSError and whatever else goes wrong."""
    _check(options)
    import cv2

    from edge_seg.bundle import open_bundle
    from edge_seg.runtime.cpu import huge_memory, peak_memory
    from edge_seg.runtime.segmenter import Segmenter
    from edge_seg.trust import require_trusted

    say("hello", **_hello())
    begin = perf_counter_ns()
    bundle = open_bundle(options.bundle)
    require_trusted(bundle, options.public_key)
    overlays: dict[Path, Path] = {}
    if options.save:
        from edge_seg.runtime.predict import check_folder, find_images

        check_folder(options.save)
        overlays = {image.file: image.overlay for image in find_images(options.images, options.save)}
    if options.threads:
        cv2.setNumThreads(options.threads)
    settings = {"engine": options.engine, "threads": options.threads}
    with Segmenter(bundle, **settings, score=options.score, instances=options.instances) as segmenter:
        engine = segmenter.engine.describe()
        say("load", ns=perf_counter_ns() - begin, engine=engine, bundle=bundle.manifest.name)
        loaded = peak_memory()
        for number, image in enumerate(_each(options.images)):
            _measure(segmenter, image, overlays.get(image), options, first=number == 0, say=say)
        if options.self_test:  # last, or the first run wouldn't be the first
            _self_test(segmenter, bundle, say)
        say("memory", load_bytes=loaded, peak_bytes=peak_memory(), huge_bytes=huge_memory())
        guard.phase("closing the engine")
    say("done")


def _each(images: Sequence[Path]) -> Iterator[Path]:
    for image in images:
        if image == STDIN:
            yield from (Path(line.rstrip("\n")) for line in sys.stdin)
        else:
            yield image


def _hello() -> dict[str, Any]:
    from edge_seg.runtime.cpu import describe_cpu

    installed = {d.metadata["Name"].lower(): d.version for d in metadata.distributions() if d.metadata["Name"]}
    return {
        "runner": "python",
        "version": __version__,
        "protocol": PROTOCOL,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": describe_cpu(),
        "libraries": {name: installed[name] for name in _LIBRARIES if name in installed},
    }


def _self_test(segmenter: Segmenter, bundle: Any, say: Say) -> None:
    from edge_seg.runtime.selftest import self_test

    tested = self_test(segmenter, bundle)
    say("self_test", **tested.as_json())
    if tested.faults:
        raise EngineError(
            f"the self-test failed: {'; '.join(tested.faults)}",
            remedy="copy the bundle again; if it fails again, this machine or its library doesn't compute it right",
            code="self-test-failed",
        )


def _measure(
    segmenter: Segmenter, file: Path, overlay: Path | None, options: argparse.Namespace, *, first: bool, say: Say
) -> None:
    from edge_seg.runtime.image import read_image

    image, name = read_image(file), str(file)
    if first:
        found, ns = _timed(segmenter, image)
        say("first_run", image=str(file), instances=len(found), ns=ns)
    for _ in range(options.warmup):
        _timed(segmenter, image)
    gc.collect()
    gc.disable()  # a collection in the middle of a sample is Python's, not the model's
    try:
        for repeat in range(options.repeat):
            start_ns, begin = perf_counter_ns(), process_time_ns()
            found, ns = _timed(segmenter, image)
            cpu_ns = process_time_ns() - begin
            say("sample", image=name, repeat=repeat, instances=len(found), ns=ns, cpu_ns=cpu_ns, start_ns=start_ns)
    finally:
        gc.enable()
    say("result", image=str(file), width=found.width, height=found.height, instances=found.as_json())
    if overlay:
        from edge_seg.runtime.overlay import draw
        from edge_seg.runtime.predict import write_image

        write_image(overlay, draw(image, found, segmenter.classes))


def _timed(segmenter: Segmenter, image: NDArray[np.uint8]) -> tuple[Instances, dict[str, int]]:
    begin = perf_counter_ns()
    found, ns = segmenter.timed(image)
    total = perf_counter_ns() - begin
    return found, {**ns, **segmenter.inner_ns, "total": total}


_encode = json.JSONEncoder(allow_nan=False).encode
"""json.dumps() with options makes such an encoder at every call, which takes longer than to use it."""


_SINGLE, _DOUBLE = "'", '"'
_quoted = functools.lru_cache(maxsize=8)(_encode)


def _as_json(kind: str, values: dict[str, Any]) -> str:
    if kind == "sample":  # a third of the encoder's time, between two samples: names without quotes, whole numbers
        return (
            f'{{"type": "sample", "image": {_quoted(values["image"])}, "repeat": {values["repeat"]}, "instances":'
            f' {values["instances"]}, "cpu_ns": {values["cpu_ns"]}, "start_ns": {values["start_ns"]}, "ns":'
            f" {str(values['ns']).replace(_SINGLE, _DOUBLE)}}}"
        )
    return _encode({"type": kind, **values})


def _as_text(kind: str, values: dict[str, Any]) -> str:
    def word(value: Any) -> str:
        if isinstance(value, dict):
            return "(" + " ".join(f"{k} {word(v)}" for k, v in value.items()) + ")"
        if isinstance(value, list):
            return f"{len(value)} items" if value and not isinstance(value[0], str) else ",".join(value)
        return str(value)

    return f"{kind}: " + ", ".join(f"{name} {word(value)}" for name, value in values.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns the exit code. Every failure becomes an ``error`` line."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        guard.open_closed_streams()
    form = _as_json if "--json" in words else _as_text
    lines = sys.stdout
    if guard.is_child():
        # What a library prints on stdout goes to stderr, or it would stand between the lines.
        lines = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
        os.dup2(2, 1)

    sent = 0

    def say(kind: str, **values: Any) -> None:
        nonlocal sent
        lines.write(form(kind, values) + "\n")
        now = perf_counter_ns()
        if kind != "sample" or now - sent > HELD_NS:
            lines.flush()
            sent = now

    try:
        if arguments is None:
            guard.on_stop(_stop)
        options = _parser().parse_args(words)
        if arguments is None and not guard.is_child():
            return guard.run_guarded([sys.executable, *sys.orig_argv[1:]])
        run(options, say)
        code = 0
    except BaseException as problem:
        code = _report(problem, say)
    if guard.is_child():
        # Inference libraries crash in their destructors at interpreter exit; all has been said.
        lines.flush()
        os._exit(code)
    return code


def _stop(number: int, _frame: Any) -> NoReturn:
    # A terminal's Ctrl-C reaches parent and child, and the parent hands it on: once is enough.
    for again in guard.SIGNALS:
        signal.signal(again, signal.SIG_IGN)
    raise KeyboardInterrupt


def _report(problem: BaseException, say: Say) -> int:
    if isinstance(problem, SystemExit) and problem.code == 0:  # --help
        return 0
    if isinstance(problem, BrokenPipeError):
        return 1
    code, error = explain(problem)
    try:
        say("error", **error.as_json())
    except OSError:
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())

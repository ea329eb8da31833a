"""``edge-seg predict`` of a run as well as of a bundle: by paddle's own layers, before any conversion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge_seg.bundle import MANIFEST
from edge_seg.errors import UsageError
from edge_seg.process.guard import guarded
from edge_seg.runtime.cli import plan
from edge_seg.runtime.cli import predict as predict_bundle
from edge_seg.runtime.cli import run as run_planned
from edge_seg.train.run import CONFIG


@guarded
def _predict(bundle: Path, **options: Any) -> int:
    if (bundle / MANIFEST).is_file() or not (bundle / CONFIG).is_file():
        assert predict_bundle.callback is not None
        return int(predict_bundle.callback(bundle, **options) or 0)
    return _predict_run(bundle, **options)


def _predict_run(
    run: Path,
    *,
    images: tuple[str, ...],
    out: Path,
    overlays: str,
    frames: int,
    score: float | None,
    threads: int,
    engine: str | None,
    on: str | None,
    runner: tuple[str, ...],
    formats: tuple[str, ...],
    public_key: Path | None,
    as_json: bool,
) -> int:
    for name, value in (("--engine", engine), ("--on", on), ("--runner", runner), ("--public-key", public_key)):
        if value:
            raise UsageError(
                f"{name} is for bundles; a run is computed by paddle, here", remedy="convert the run first"
            )
    from edge_seg.files import refuse_overwriting
    from edge_seg.runtime.predict import check_folder
    from edge_seg.train.cli import open_run
    from edge_seg.train.run import load_run

    config = load_run(run).config
    planned = plan(images, out, overlays, frames, formats)
    check_folder(out)
    refuse_overwriting(out, [run])
    with open_run(run, threads, "auto", score) as segmenter:
        return run_planned(segmenter, planned, out, formats, frames, config.category_ids, as_json)


def _parameters() -> list[click.Parameter]:
    first, *rest = predict_bundle.params
    named = click.Argument(["bundle"], type=first.type, metavar="RUN|BUNDLE")
    assert first.name == named.name
    return [named, *rest]


predict = click.Command(
    "predict",
    callback=_predict,
    params=_parameters(),
    help=(predict_bundle.help or "").replace(
        "      edge-seg predict bundles/cpu-fp32 photo.jpg --out found\n",
        "      edge-seg predict run photo.jpg --out found\n"
        "      edge-seg predict bundles/cpu-fp32 photo.jpg --out found\n",
    ),
)

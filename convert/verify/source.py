"""What a bundle was made from: the run, or the zoo's model with its random weights, as a job that can be run again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from convert.artifacts import Job
from convert.job import Options, random_job, run_job, told_options
from edge_seg.bundle import Bundle
from edge_seg.errors import BundleError, MissingDependencyError, RunError
from edge_seg.options import SIZE
from edge_seg.runtime.one_graph import FULL
from edge_seg.zoo import ZOO


def rebuild(bundle: Bundle, run: Path | None) -> tuple[Job | None, str]:
    """The bundle's job, or None and why there is none.

    Options come from what the manifest says of its making, everything else from the run: the manifest's settings are
    what is to be checked. Raises BundleError for options that are none, RunError when ``run`` can't be used or has
    other weights than the bundle.
    """
    manifest = bundle.manifest
    options = options_of(bundle)
    told = manifest.source.get("weights_sha256")
    if run is not None:
        job = run_job(run, options)
        if job.source["weights_sha256"] != told:
            raise RunError(
                f"{run}: its weights (sha256 {job.source['weights_sha256'][:12]}…) aren't those that {bundle.path} was"
                f" made from ({str(told)[:12]}…)",
                remedy="give the run that the bundle came from, or convert this one anew",
                code="other-run",
            )
        return job, ""
    if FULL in manifest.graphs:
        return None, "the model came from elsewhere, as an exported graph: there are no layers that paddle could run"
    if not manifest.random_weights:
        return None, "the run isn't given (--run), so the model can't be run by paddle itself"
    seed = manifest.source.get("seed")
    if manifest.model not in ZOO or not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        return None, f"the manifest doesn't say which random weights: model {manifest.model!r}, seed {seed!r}"
    try:
        job = random_job(manifest.model, seed, len(manifest.classes), options)
    except MissingDependencyError as problem:
        return None, problem.message
    if job.source["weights_sha256"] != told:
        return None, f"the weights aren't the random ones of seed {seed} as this machine and version draw them"
    return job, ""


def options_of(bundle: Bundle) -> Options:
    """The options of ``edge-seg convert`` that the manifest tells of; the manifest's own values where it doesn't.

    Raises BundleError when they are none.
    """
    manifest = bundle.manifest
    said = manifest.source.get("options", "")
    post = manifest.postprocess
    try:
        told = told_options(said)
        if told.get("score") == f"{post.score_threshold:g}":  # which is how the options were written: with six digits
            told.pop("score")
        return Options(
            size=SIZE.convert(told["size"], None, None) if "size" in told else manifest.preprocess.size,
            proposals=int(told.get("proposals", manifest.proposals)),
            before_nms=int(told["before-nms"]) if "before-nms" in told else None,
            keep=int(told.get("keep", post.keep)),
            score=float(told.get("score", post.score_threshold)),
            golden=bundle.path / manifest.golden.image,
        )
    except (TypeError, ValueError, click.UsageError) as problem:
        raise BundleError(
            f"manifest.source.options: {said!r}: {problem}",
            remedy="the manifest was edited: copy the bundle again, or convert anew",
            code="manifest-invalid",
        ) from None


def different_settings(expected: Any, found: Any, names: Iterable[str]) -> str:
    """``color BGR, the source has RGB; …`` for the fields ``names`` of two dataclasses that differ; empty if none."""
    pairs = ((name, getattr(found, name), getattr(expected, name)) for name in names)
    return "; ".join(f"the manifest has {name} {plain(a)}, its source {plain(b)}" for name, a, b in pairs if a != b)


def plain(value: Any) -> str:
    """A setting's value for people: ``0.485, 0.456, 0.406``."""
    if isinstance(value, tuple):
        return ", ".join(map(plain, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)

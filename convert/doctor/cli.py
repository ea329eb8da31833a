"""The command ``edge-seg doctor``."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_seg.errors import UsageError
from edge_seg.files import refuse_non_utf8
from edge_seg.options import SIZE, echo_json, json_option, renamed_option
from edge_seg.process.guard import guarded

if TYPE_CHECKING:
    from edge_seg.doctor.report import Report

Size = tuple[int, int]
_TARGETS = {"armv8": "arm", "armv7hf": "arm", "x86": "x86"}
"""Architectures and opt's word for them."""

_SHAPE = re.compile(r".+=[1-9][0-9]{0,5}(x[1-9][0-9]{0,5})*", re.IGNORECASE)


@click.command()
@click.argument("what", required=False, metavar="[FILE|RUN|MODEL|BUNDLE]")
@click.option(
    "--arch",
    type=click.Choice(list(_TARGETS)),
    default="armv8",
    show_default=True,
    help="Architecture of the machine that is to run it.",
)
@renamed_option("--target", "--arch")
@click.option("--size", type=SIZE, help="Input of a RUN or zoo MODEL.  [default: the run's, 320 for a MODEL]")
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=1x3x64x64",
    help="Shape of a FILE's input, where the model leaves it open.",
)
@click.option(
    "--runner",
    metavar="COMMAND",
    help="Runs on the target: takes --bundle DIR --self-test --json, or for a FILE --graph FILE.nb --inputs DIR"
    " --outputs DIR.",
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(["train", "convert", "run", "measure"]),
    help="What this machine must be fit for; may be repeated.  [default: anything]",
)
@json_option
@guarded
def doctor(
    what: str | None,
    arch: str,
    size: Size | None,
    shapes: tuple[str, ...],
    runner: str | None,
    roles: tuple[str, ...],
    as_json: bool,
) -> int:
    """Find what would go wrong with this machine, a model or a bundle.

    Without an argument it examines this machine. A FILE is a model that paddle exported (.pdmodel, __model__, or their
    folder). A model is converted by opt, then loaded, run and compared with paddle, each in a process of its own. For
    Arm, the same graph is run for x86 here, or by a --runner. Nothing is written.

    \b
    Examples:
      edge-seg doctor
      edge-seg doctor --role run --role measure
      edge-seg doctor mask_rcnn_r18_fpn --size 320
      edge-seg doctor inference/model.pdmodel --arch armv8
      edge-seg doctor bundles/x86-fp32 --json

    Exit code 1: something is broken. What this machine cannot verify is reported as unproven.
    """
    report = _examine(what, _TARGETS[arch], size, parse_shapes(shapes), tuple(shlex.split(runner or "")), roles)
    if as_json:
        echo_json(report.as_json())
    else:
        click.echo(str(report))
    return report.exit_code


def _examine(
    what: str | None,
    target: str,
    size: Size | None,
    shapes: dict[str, tuple[int, ...]],
    runner: tuple[str, ...],
    roles: tuple[str, ...],
) -> Report:
    from edge_seg.bundle import MANIFEST
    from edge_seg.zoo import ZOO

    path = Path(what or "")
    is_run = (path / "config.json").is_file() if what else False
    is_zoo = what in ZOO and not path.exists()
    is_bundle = bool(what) and (path / MANIFEST).is_file()
    is_file = bool(what) and path.exists() and not (is_run or is_bundle)
    if size and not (is_run or is_zoo):
        raise UsageError("--size is for a run or a zoo model", remedy="a FILE's shapes are given by --shape")
    if shapes and not is_file:
        raise UsageError("--shape is for a model's file", remedy="use --size for a run or a zoo model")
    if not what:
        if runner:
            raise UsageError("--runner is for a model or a bundle", remedy="name one")
        from edge_seg.doctor.environment import examine_machine

        return examine_machine(roles)
    if roles:
        raise UsageError("--role is for this machine", remedy=f"leave it out, or leave {what} out")
    if path.exists():
        refuse_non_utf8(path)
    if is_bundle:
        from edge_seg.doctor.bundle import examine_bundle

        return examine_bundle(path, runner)
    if is_run or is_zoo:
        from convert.doctor.run import examine_run

        return examine_run(what, target, size, runner)
    if is_file:
        from convert.doctor.model import Options, examine_model
        from convert.importers.paddle_model import is_imported

        options = Options(target, shapes, runner)
        if is_imported(path):
            from convert.doctor.imported import examine_imported

            return examine_imported(path, options)
        return examine_model(path, options)
    raise UsageError(
        f"{what}: no such file or folder, and no model of the zoo",
        remedy=f"give an exported model's file, a run's or bundle's folder, or one of {', '.join(ZOO)}",
        code="nothing-found",
    )


def parse_shapes(words: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """``NAME=1x3x320x320`` … as shapes by name. Raises :class:`UsageError`."""
    shapes = {}
    for word in words:
        if not _SHAPE.fullmatch(word):
            raise UsageError(f"--shape {word}: not a shape, of sides from 1 to 999999", remedy="write NAME=1x3x320x320")
        name, _, sides = word.rpartition("=")
        shapes[name] = tuple(map(int, sides.lower().split("x")))
    return shapes

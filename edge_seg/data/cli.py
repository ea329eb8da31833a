"""``edge-seg data``: draw, fetch, check, mend, divide and convert data sets."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_seg.data.formats import EXPORTS, IMPORTS
from edge_seg.data.layout import HELP as LAYOUTS
from edge_seg.options import SIZE, Finite, Group, echo_json, json_option
from edge_seg.printable import terminal_of
from edge_seg.words import counted

if TYPE_CHECKING:
    from edge_seg.data.findings import Findings

FOLDER = click.Path(path_type=Path)
SHARE = Finite(min=0, max=1, min_open=True, max_open=True)

exif_option = click.option(
    "--exif",
    type=click.Choice(["apply", "ignore"]),
    default=None,
    help="Of images that EXIF turns: outlines were drawn on the upright image (apply) or on it as stored (ignore).",
)


def class_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--rename``, ``--merge-classes`` and ``--drop``."""
    for option in (
        click.option("--drop", metavar="NAME", multiple=True, help="Leave out a class with its objects."),
        click.option("--merge-classes", metavar="A,B=NAME", multiple=True, help="Make several classes one."),
        click.option("--rename", metavar="OLD=NEW", multiple=True, help="Rename a class; OLD may be its id, as #3."),
    ):
        command = option(command)
    return command


@click.group(cls=Group)
def data() -> None:
    """Draw, fetch, check, mend, divide and convert data sets in COCO form."""


@data.command()
@click.argument("out", type=FOLDER)
@click.option("--images", type=int, default=200, show_default=True, help="How many images, validation included.")
@click.option("--size", type=int, default=320, show_default=True, help="Their height and width in pixels.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed draws the same set, byte for byte.")
@click.option("--val", type=float, default=0.2, show_default=True, help="The part that is for validation.")
@json_option
def synth(out: Path, images: int, size: int, seed: int, val: float, as_json: bool) -> None:
    """Draw a data set: overlapping circles, triangles and stars on textured grounds.

    \b
    Example:
      edge-seg data synth shapes --images 200 --size 320 --seed 1
    """
    from edge_seg.data.synth import CLASSES, make

    with progress_bar("drawing") as advance:
        counts = make(out, images, size, seed, val, progress=advance)
    tell_written(out, {**counts, "classes": list(CLASSES)}, as_json)


@data.command(epilog=f"\b\nLayouts, {{split}} being train, val or valid, test:\n{LAYOUTS}")
@click.argument("place", metavar="DIR|FILE", type=FOLDER)
@click.option("--size", type=SIZE, default=(320, 320), help="The network's input size.  [default: 320]")
@click.option("--fix", metavar="OUT", type=FOLDER, help="Write a clean copy there, with a log of what was changed.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the report as one HTML page.")
@exif_option
@class_options
@json_option
def check(
    place: Path,
    size: tuple[int, int],
    fix: Path | None,
    html: Path | None,
    exif: str | None,
    rename: tuple[str, ...],
    merge_classes: tuple[str, ...],
    drop: tuple[str, ...],
    as_json: bool,
) -> int:
    """Open every image and outline of a data set and report all that is wrong, in one run.

    Errors stop a training, warnings are mended or likely mistakes. Exit code 1 when a training on it (with --fix, on
    the copy) would not begin. --fix writes OUT/train.json, OUT/val.json, OUT/images/ (hard links where possible) and
    OUT/changes.jsonl: what can be mended is, what can't is left out.

    \b
    Examples:
      edge-seg data check dataset
      edge-seg data check dataset --size 640 --json
      edge-seg data check dataset --html check.html
      edge-seg data check dataset --fix clean --merge-classes Cat,cat=cat
      edge-seg data check photos --exif apply --fix upright
    """
    from edge_seg.data.check import check as check_folder
    from edge_seg.data.classes import parse_edits
    from edge_seg.data.coco import ReadOptions
    from edge_seg.data.fix import is_ready, write_fixed

    if html is not None:
        from edge_seg.pages.page import check_output

        check_output(html, [place])
    edits = parse_edits(rename, merge_classes, drop)
    options = ReadOptions(exif or "", fix is not None, edits)
    with progress_bar("checking") as advance:
        report = check_folder(place, advance, size=size, options=options)
    tell_findings(report.findings)
    written = None
    if fix is not None:
        with progress_bar("writing") as advance:
            written = write_fixed(report, fix, advance)
    ready = report.ok if fix is None else is_ready(report)
    if html is not None:
        from edge_seg.data.page import make_page
        from edge_seg.pages.page import this_command

        fixed = "" if fix is None else f"A clean copy is in {fix}; it is {'' if ready else 'not '}ready."
        make_page(report, this_command(), fixed=fixed).write(html)
    if as_json:
        echo_json({**report.as_json(), **({} if written is None else {"fixed": written})})
        return 0 if ready else 1
    for name, split in report.splits.items():
        click.echo(f"{name}: {_summary(split.as_json(), size)}")
    if written is not None:
        click.echo(f"{fix}: written, with {counted(written['changes'], 'change')} (changes.jsonl)")
        click.echo(f"{'ready to be trained on' if ready else 'not ready to be trained on'}: {fix}")
    else:
        click.echo("ready to be trained on" if ready else "can't be trained on as it is")
    return 0 if ready else 1


def tell_findings(findings: Findings, *severities: str) -> None:
    """Prints errors, warnings and notes, or those of these severities, on stderr, grouped by kind."""
    for group in findings.groups(*severities):
        first, *rest = group.lines()
        click.echo("\n".join([f"{group.severity.capitalize()}: {first}", *rest]), err=True)


def tell_written(out: Path, counts: dict[str, Any], as_json: bool) -> None:
    """Prints what a new data set holds."""
    if as_json:
        echo_json({"out": out, **counts})
        return
    for split, held in counts.items():
        if isinstance(held, dict) and "images" in held:
            click.echo(
                f"{out / split}.json: {counted(held['images'], 'image')}, {counted(held['instances'], 'instance')}"
            )
    click.echo(f"classes: {', '.join(counts['classes'])}")


def _summary(figures: dict[str, Any], size: tuple[int, int]) -> str:
    """One line about a split."""
    per_class = ", ".join(f"{count} {name}" for name, count in figures["instances_per_class"].items())
    text = f"{counted(figures['images'], 'image')} ({figures['empty_images']} empty)"
    if figures["smallest"]:
        smallest, largest = ("x".join(map(str, figures[key])) for key in ("smallest", "largest"))
        text += f", {smallest if smallest == largest else f'{smallest} to {largest}'} pixels"
    text += f"; {counted(figures['instances'], 'instance')} ({per_class}), {counted(figures['crowds'], 'crowd')}"
    under = ", ".join(f"{count} under {side}" for side, count in figures["instances_under_pixels"].items())
    return f"{text}; shorter side in pixels at {size[0]}x{size[1]}: {under}"


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, which shows itself on a terminal only; yields ``progress(done, total)``."""
    with click.progressbar(length=1, label=label, file=terminal_of(sys.stderr), show_pos=True) as bar:

        def advance(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield advance


@data.command()
@click.argument("place", metavar="DIR|FILE", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option("--val", type=SHARE, default=0.2, show_default=True, help="The part that is for validation.")
@click.option("--test", type=Finite(min=0, max=1, max_open=True), default=0.0, help="The part that is for a test.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed divides alike.")
@click.option("--balance/--no-balance", default=True, help="Share out each class like the images.  [default: balance]")
@click.option("--group", metavar="REGEX", help="Images whose names agree in what this matches stay together.")
@exif_option
@class_options
@json_option
def split(
    place: Path,
    out: Path,
    val: float,
    test: float,
    seed: int,
    balance: bool,
    group: str | None,
    exif: str | None,
    rename: tuple[str, ...],
    merge_classes: tuple[str, ...],
    drop: tuple[str, ...],
    as_json: bool,
) -> None:
    """Divide a COCO file, or a data set anew, into train, val and test in OUT.

    The rarest classes are shared out first, so that each split gets some of each class. Images are hard links where
    possible.

    \b
    Examples:
      edge-seg data split cvat_export dataset --val 0.2
      edge-seg data split photos/all.json dataset --val 0.15 --test 0.15 --seed 3
      edge-seg data split videos dataset --group '^(.+)_frame'
    """
    from edge_seg.data.merge import combine
    from edge_seg.data.split import counts_of, divide, group_by, shares
    from edge_seg.data.write import write_dataset
    from edge_seg.files import check_replaceable

    parts = shares(val, test)
    grouping = None if group is None else group_by(group)
    check_replaceable(out.resolve(), None)
    whole = combine(_read(place, exif, rename, merge_classes, drop))
    splits = divide(whole, parts, seed, balance=balance, group=grouping)
    with progress_bar("writing") as advance:
        write_dataset(out, splits, root=place if place.is_dir() else place.parent, progress=advance)
    tell_written(out, counts_of(splits), as_json)


@data.command()
@click.argument("places", metavar="DIR|FILE...", type=FOLDER, nargs=-1, required=True)
@click.option("--out", type=FOLDER, required=True, help="The new data set.")
@exif_option
@class_options
@json_option
def merge(
    places: tuple[Path, ...],
    out: Path,
    exif: str | None,
    rename: tuple[str, ...],
    merge_classes: tuple[str, ...],
    drop: tuple[str, ...],
    as_json: bool,
) -> None:
    """Put several data sets together: train to train, val to val, classes matched by name.

    Sets that aren't divided give one file, all.json, for `edge-seg data split`.

    \b
    Examples:
      edge-seg data merge monday tuesday --out both
      edge-seg data merge mine theirs --out both --merge-classes 'car,Auto=car'
    """
    from edge_seg.data.merge import combine
    from edge_seg.data.merge import merge as put_together
    from edge_seg.data.split import counts_of
    from edge_seg.data.write import write_dataset
    from edge_seg.files import check_replaceable

    check_replaceable(out.resolve(), None)
    sets = [_read(place, exif, rename, merge_classes, drop, strict_edits=False) for place in places]
    if any("all" in one for one in sets):
        sets = [{"all": combine(one)} for one in sets]
    splits = put_together(sets)
    with progress_bar("writing") as advance:
        write_dataset(out, splits, progress=advance)
    tell_written(out, counts_of(splits), as_json)


@data.command()
@click.argument("place", metavar="DIR|FILE", type=FOLDER)
@click.option("--size", type=SIZE, default=(320, 320), help="The network's input size.  [default: 320]")
@json_option
def stats(place: Path, size: tuple[int, int], as_json: bool) -> None:
    """Count images and objects by class and size, without opening the images.

    \b
    Example:
      edge-seg data stats dataset --size 640
    """
    from edge_seg.data.check import SplitReport
    from edge_seg.data.left import count_left, fitted

    read = _read(place, None, (), (), ())
    splits = {name: SplitReport(one, count_left(one, fitted(size)), "") for name, one in read.items()}
    if as_json:
        echo_json({"size": list(size), "splits": {name: one.as_json() for name, one in splits.items()}})
        return
    for name, one in splits.items():
        click.echo(f"{name}: {_summary(one.as_json(), size)}")
        sides = ", ".join(
            f"{'under 1' if n < 0 else f'{2**n} to {2 ** (n + 1)}'}: {count}" for n, count in one.sizes.items()
        )
        click.echo(f"  shorter side in pixels at {size[0]}x{size[1]}: {sides or 'no object'}")
        ratios = ", ".join(f"{ratio}: {count}" for ratio, count in one.aspect_ratios.items())
        click.echo(f"  width / height of images: {ratios}")


def _read(
    place: Path,
    exif: str | None,
    rename: tuple[str, ...],
    merge_classes: tuple[str, ...],
    drop: tuple[str, ...],
    *,
    strict_edits: bool = True,
) -> dict[str, Any]:
    """All splits at ``place``; what can't be read is refused, what was mended is told on stderr."""
    from edge_seg.data.check import read_splits
    from edge_seg.data.classes import parse_edits
    from edge_seg.data.coco import ReadOptions
    from edge_seg.data.findings import Findings

    findings = Findings()
    options = ReadOptions(exif or "", edits=parse_edits(rename, merge_classes, drop))
    read = read_splits(place, findings, options, strict_edits=strict_edits, whole=False)
    tell_findings(findings, "warning", "note")
    findings.refuse()
    return {name: dataset for name, (dataset, _) in read.items()}


def import_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of ``data import`` and ``data labelme``."""
    for option in (
        json_option,
        class_options,
        exif_option,
        click.option("--skip-invalid", is_flag=True, help="Leave out what can't be read, and log it."),
        click.option("--classes", default="", help="Labels in the order of their ids, as a,b,c; others are refused."),
        click.option(
            "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Which images these are."
        ),
        click.option("--test", type=Finite(min=0, max=1, max_open=True), default=0.0, help="The part for a test."),
        click.option("--val", type=SHARE, help="The part for validation.  [default: the source's own, or 0.2]"),
        click.argument("out", type=FOLDER),
        click.argument("place", metavar="DIR|FILE", type=FOLDER),
    ):
        command = option(command)
    return command


@data.command("import", epilog="\b\nFormats:\n" + "\n".join(f"  {name:<12} {told}" for name, told in IMPORTS.items()))
@click.argument("kind", metavar="FORMAT", type=click.Choice(list(IMPORTS)))
@import_options
def import_command(kind: str, place: Path, out: Path, as_json: bool, **options: Any) -> int:
    """Convert what another annotation tool wrote to a COCO data set in OUT.

    Splits of the source (subsets, folders named train and val, lists) are kept where it has both train and val. All
    faults are named in one run; nothing is written then, unless --skip-invalid leaves them out (OUT/changes.jsonl lists
    them).

    \b
    Examples:
      edge-seg data import labelme annotated dataset --classes cat,dog
      edge-seg data import cvat task.xml dataset --val 0.25
      edge-seg data import labelstudio export.json dataset --skip-invalid
    """
    return _import(kind, place, out, as_json, **options)


@data.command()
@import_options
def labelme(place: Path, out: Path, as_json: bool, **options: Any) -> int:
    """Convert labelme's JSON files and images to a COCO data set: the same as `data import labelme`.

    \b
    Example:
      edge-seg data labelme annotated dataset --classes cat,dog
      edge-seg data check dataset
    """
    return _import("labelme", place, out, as_json, **options)


def _import(
    kind: str,
    place: Path,
    out: Path,
    as_json: bool,
    *,
    classes: str,
    rename: tuple[str, ...],
    merge_classes: tuple[str, ...],
    drop: tuple[str, ...],
    exif: str | None,
    **options: Any,
) -> int:
    from edge_seg.data.classes import parse_edits
    from edge_seg.data.findings import ERROR, NOTE, WARNING, Findings
    from edge_seg.data.formats.convert import ImportOptions, import_dataset
    from edge_seg.errors import DataError

    wanted = [name.strip() for name in classes.split(",") if name.strip()]
    edits = parse_edits(rename, merge_classes, drop)
    settings = ImportOptions(classes=wanted, exif=exif or "", edits=edits, **options)
    findings = Findings()
    try:
        with progress_bar("converting") as advance:
            counts = import_dataset(kind, place, out, settings, advance, findings)
    except DataError as problem:
        tell_findings(findings, WARNING, NOTE)
        if not as_json or not findings.of(ERROR):
            raise
        echo_json({"ok": False, "findings": [f.as_json() for f in findings], "error": problem.as_json()})
        click.echo(f"Error: {problem}", err=True)
        return 1
    tell_findings(findings)
    tell_written(out, {**counts, **({"findings": [f.as_json() for f in findings]} if as_json else {})}, as_json)
    return 0


@data.command("export", epilog="\b\nFormats:\n" + "\n".join(f"  {name:<12} {told}" for name, told in EXPORTS.items()))
@click.argument("kind", metavar="FORMAT", type=click.Choice(list(EXPORTS)))
@click.argument("place", metavar="DIR|FILE", type=FOLDER)
@click.argument("out", type=FOLDER)
@exif_option
@class_options
@json_option
def export_command(
    kind: str,
    place: Path,
    out: Path,
    exif: str | None,
    rename: tuple[str, ...],
    merge_classes: tuple[str, ...],
    drop: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write a data set in another tool's form into OUT, so that it can be annotated further.

    \b
    Examples:
      edge-seg data export labelme dataset to_annotate
      edge-seg data export yolo dataset yolo_set
    """
    import importlib

    from edge_seg.data.split import counts_of

    splits = _read(place, exif, rename, merge_classes, drop)
    writer = importlib.import_module(f"edge_seg.data.formats.{kind}")
    with progress_bar("writing") as advance:
        crowds = writer.write(splits, out, advance)
    if crowds:
        click.echo(f"Warning: {counted(crowds, 'crowd')} left out: {kind} has no such thing", err=True)
    counts = counts_of(splits)
    if as_json:
        echo_json({"out": out, "format": kind, "crowds_left_out": crowds, **counts})
        return
    for name, held in counts.items():
        if isinstance(held, dict):
            click.echo(f"{name}: {counted(held['images'], 'image')}, {counted(held['instances'], 'instance')}")
    click.echo(f"{out}: written as {kind}")


@data.command("fetch")
@click.argument("what", metavar="NAME|URL")
@click.option("--out", type=FOLDER, help="The new folder.  [default: the name]")
@click.option("--sha256", "checksum", metavar="HEX", help="The archive's checksum; another file is refused.")
@click.option("--mirror", metavar="URL", help="Where named sets are fetched from instead.  [env: EDGE_SEG_DATA_MIRROR]")
@json_option
def fetch_command(what: str, out: Path | None, checksum: str | None, mirror: str | None, as_json: bool) -> None:
    """Fetch a data set's archive by NAME (xiaoduxiong, the tutorials' set) or URL, check it and unpack it.

    A download that broke off goes on where it stopped. http_proxy, https_proxy and no_proxy are honoured.

    \b
    Examples:
      edge-seg data fetch xiaoduxiong
      edge-seg data fetch https://example.org/set.tgz --sha256 9f86d0…
    """
    from pathlib import PurePosixPath
    from urllib.parse import urlsplit

    from edge_seg.data.fetch import fetch_dataset

    name = PurePosixPath(urlsplit(what).path).name.split(".")[0] or "dataset"
    with progress_bar("downloading") as advance:
        folder, digest = fetch_dataset(
            what,
            out or Path(name),
            checksum=checksum,
            mirror=mirror,
            progress=lambda done, total: advance(done, total or done),
        )
    if as_json:
        echo_json({"folder": folder, "sha256": digest})
        return
    click.echo(f"{folder}: sha256 {digest}")

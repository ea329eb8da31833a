"""The commands ``edge-seg pack``, ``edge-seg deploy`` and ``edge-seg runtime``."""

from __future__ import annotations

from pathlib import Path

import click

from edge_seg.errors import UsageError
from edge_seg.options import Group, echo_json, json_option

_PATH = click.Path(path_type=Path)
_TARGETS = ["armv8", "armv7hf", "android-armv8", "android-armv7", "x86"]


@click.command()
@click.argument("bundle", type=_PATH)
@click.option("--target", type=click.Choice(_TARGETS), required=True, help="Kind of board.")
@click.option("--runner", type=_PATH, required=True, metavar="FILE", help="edge-seg-run built for it, or a script.")
@click.option("--library", type=_PATH, metavar="FILE", help="Paddle Lite's library that the runner was built with.")
@click.option("--out", type=_PATH, required=True, metavar="FILE", help="The .tar.gz to write.")
@json_option
def pack(bundle: Path, target: str, runner: Path, library: Path | None, out: Path, as_json: bool) -> None:
    """Pack a BUNDLE with its runner into one file for a board.

    In it are the runner, the library, the bundle and a start script, nothing else. Runner and library must be for the
    kind of board, and the runner built with the version of Paddle Lite that the bundle was made for. The same files
    give the same bytes.

    \b
    Examples:
      edge-seg pack bundles/arm-fp32 --target armv8 --out board.tar.gz \\
          --runner build/native/aarch64/edge-seg-run \\
          --library $PADDLE_LITE_DIR/cxx/lib/libpaddle_light_api_shared.so
    """
    from edge_seg.boards.pack import pack as run
    from edge_seg.bundle import open_bundle

    packed = run(open_bundle(bundle), target, runner, library, out)
    if as_json:
        echo_json(packed.as_json())
    else:
        click.echo(str(packed))


@click.command()
@click.argument("words", metavar="[ARCHIVE] TARGET", nargs=-1, required=True)
@click.option("--dir", "folder", help="Folder on the board.  [default: edge-seg; Android: /data/local/tmp/edge-seg]")
@click.option("--keep", type=click.IntRange(1), default=2, show_default=True, help="Versions that stay on the board.")
@click.option("--rollback", is_flag=True, help="Let the version before run again.")
@click.option("--clean", is_flag=True, help="Remove all versions but the one that runs.")
@click.option("--status", is_flag=True, help="Say what is there, change nothing.")
@json_option
def deploy(
    words: tuple[str, ...], folder: str | None, keep: int, rollback: bool, clean: bool, status: bool, as_json: bool
) -> None:
    """Bring a packed ARCHIVE to a board, test it there, and let it take over from the version before.

    TARGET is ssh://[user@]host[:port] or adb:SERIAL. ssh's own settings and keys are used; EDGE_SEG_SSH_OPTIONS holds
    further options. The new version is unpacked beside the old one and must pass its self-test on the board; only then
    is the link `run` switched, by one rename. Whatever fails before that, the old version goes on running.

    \b
    Examples:
      edge-seg deploy board.tar.gz ssh://pi@raspberrypi
      edge-seg deploy board.tar.gz adb:0123456789ABCDEF
      edge-seg deploy ssh://pi@raspberrypi --rollback
    """
    from edge_seg.boards import deploy as work
    from edge_seg.targets import FORMS, open_target
    from edge_seg.targets.remote import Board

    *archives, name = words
    actions = rollback + clean + status
    if len(archives) + actions != 1:
        raise UsageError(
            f"{' '.join(words)!r}: expected an archive and a target, or a target and one of --rollback, --clean and"
            " --status",
            remedy="edge-seg deploy board.tar.gz ssh://pi@raspberrypi",
        )

    def progress(text: str) -> None:
        click.echo(text, err=True)

    with open_target(name, folder=folder) as board:
        if not isinstance(board, Board):
            raise UsageError(f"target {name!r}: not a board", remedy=f"of {FORMS}, the first and the last aren't")
        if rollback:
            report = work.rollback(board, progress)
        elif clean:
            report = work.clean(board)
        elif status:
            report = work.status(board)
        else:
            report = work.deploy(board, Path(archives[0]), keep, progress)
    if as_json:
        echo_json(report.as_json())
    else:
        click.echo(str(report))


@click.group(cls=Group)
def runtime() -> None:
    """Get Paddle Lite's library for boards."""


@runtime.command()
@click.option("--target", type=click.Choice(_TARGETS[:-1]), required=True, help="Kind of board.")
@click.option("--dir", "folder", type=_PATH, default=Path("paddle-lite"), show_default=True, help="Where it goes.")
@click.option("--sha256", "digest", metavar="HEX", help="The archive's hash, as you trust it.")
@click.option("--url", help="Another address than the publisher's.")
@click.option("--archive", type=_PATH, metavar="FILE", help="An archive that is here already.")
@json_option
def fetch(target: str, folder: Path, digest: str | None, url: str | None, archive: Path | None, as_json: bool) -> None:
    """Download Paddle Lite's official archive for a kind of board, check it, and unpack it in DIR/TARGET.

    The archive must have the sha256 that is given. Without one, the file is downloaded, its hash is named, and nothing
    is unpacked: compare it with the publisher's, and give it with --sha256. The library must be for the target's
    processor and have the extra kernels.

    \b
    Examples:
      edge-seg runtime fetch --target armv8
      edge-seg runtime fetch --target armv8 --sha256 HEX
      edge-seg runtime fetch --target armv7hf --archive downloads/lite.tar.gz \\
          --sha256 HEX
    """
    from edge_seg.boards.library import fetch as run

    if url is not None and archive is not None:
        raise UsageError("--url and --archive: one of them", remedy="--archive takes a file that is here already")
    shown = 0

    def progress(done: int, total: int | None) -> None:
        nonlocal shown
        if done // 10_000_000 > shown:
            shown = done // 10_000_000
            click.echo(f"{done / 1e6:.0f} MB{f' of {total / 1e6:.0f}' if total else ''}", err=True)

    fetched = run(target, folder, url=url, archive=archive, digest=digest, progress=progress)
    if as_json:
        echo_json(fetched.as_json())
    else:
        click.echo(str(fetched))

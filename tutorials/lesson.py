"""What the three tutorials have in common: fetch a small dataset, train on it as PaddleX's model page did.

The page's hyper-parameters: 12 epochs, one picture a step, learning rate 0.00125, 10 steps of warm-up, a tenth of the
rate from epochs 8 and 11 on, short side 800 and long side at most 1333, random mirroring, weights from ImageNet.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import click

from edge_seg import cli
from edge_seg.archive import unpack
from edge_seg.data.download import fetch
from edge_seg.errors import DataError

XIAODUXIONG = "https://bj.bcebos.com/paddlex/datasets/xiaoduxiong_ins_det.tar.gz"
"""14 pictures to train on, 4 to validate on, one class: toy bears."""


def run(model: str, imagenet_weights: str = "") -> int:
    """Runs the tutorial for the zoo's ``model`` and returns the exit code.

    ``imagenet_weights`` is the address of weights for its backbone, with PaddleDetection's names, or "".
    """

    @click.command(help=f"Fetch the xiaoduxiong dataset and train {model} on it.")
    @click.option("--data-dir", type=click.Path(path_type=Path), default=Path("data"), show_default=True)
    @click.option("--url", default=XIAODUXIONG, show_default=True, help="Archive of a COCO dataset.")
    @click.option("--sha256", help="The archive's checksum.")
    @click.option("--out", type=click.Path(path_type=Path), default=Path("output") / model, show_default=True)
    @click.option(
        "--weights", default=imagenet_weights, show_default=True, help="File or address; '' starts untrained."
    )
    @click.option("--epochs", type=int, default=12, show_default=True)
    @click.option("--short-side", type=int, default=800, show_default=True)
    @click.option("--long-side", type=int, default=1333, show_default=True)
    @click.option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
    def tutorial(
        data_dir: Path,
        url: str,
        sha256: str | None,
        out: Path,
        weights: str,
        epochs: int,
        short_side: int,
        long_side: int,
        device: str,
    ) -> int:
        words = ["train", model, "--data", str(dataset(data_dir, url, sha256)), "--out", str(out), "--resume"]
        words += f"--batch 1 --lr 0.00125 --warmup-steps 10 --decay-epochs 8,11 --epochs {epochs}".split()
        words += f"--short-side {short_side} --long-side {long_side} --device {device}".split()
        start = pretrained(data_dir, weights)
        if start is not None:
            # One picture a step says too little for batch normalisation's statistics: ImageNet's are kept.
            words += ["--weights", str(start), "--frozen-norm"]
        click.echo(f"edge-seg {shlex.join(words)}", err=True)
        return cli.main(words)

    try:
        return int(tutorial(standalone_mode=False) or 0)
    except Exception as problem:
        code, error = cli.explain(problem)
        click.echo(f"Error: {error}", err=True)
        return code


def dataset(folder: Path, url: str, sha256: str | None) -> Path:
    """The folder with train.json: ``folder`` itself or one below it, else ``url`` is fetched and unpacked there."""
    found = _find(folder)
    if found is None:
        archive = download(url, folder, sha256)
        unpack(archive, folder / archive.name.split(".")[0], DataError)
        found = _find(folder)
    if found is None:
        raise DataError(f"{url}: holds no train.json", remedy="give the address of a COCO dataset's archive")
    return found


def pretrained(folder: Path, weights: str) -> Path | None:
    """The weights file to start from, fetched if it is an address; None, with a warning, when it can't be had."""
    if not weights.startswith(("http://", "https://")):
        return Path(weights) if weights else None
    try:
        return download(weights, folder)
    except DataError as problem:
        click.echo(f"Warning: {problem}", err=True)
        click.echo("Warning: training starts from random weights instead and will find little", err=True)
        return None


def download(url: str, folder: Path, sha256: str | None = None) -> Path:
    """Fetches ``url`` into ``folder``, under the name that it has there, with a bar on stderr."""
    name = PurePosixPath(urlsplit(url).path).name or "download"
    with click.progressbar(length=1, label=f"downloading {name}", file=sys.stderr) as bar:

        def advance(done: int, total: int | None) -> None:
            bar.length = total or done
            bar.update(done - bar.pos)

        return fetch(url, folder / name, sha256, progress=advance)


def _find(folder: Path) -> Path | None:
    for pattern in ("train.json", "*/train.json", "*/*/train.json"):
        for file in sorted(folder.glob(pattern)):
            return file.parent
    return None

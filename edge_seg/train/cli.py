"""``edge-seg train`` and ``edge-seg eval``."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from edge_seg import zoo
from edge_seg.bundle import MANIFEST
from edge_seg.errors import RunError, UsageError
from edge_seg.files import sha256
from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from edge_seg.options import SIZE, THREADS, Finite, echo_json, json_option
from edge_seg.process.guard import guarded, in_huge_pages, phase
from edge_seg.train.options import augmentation_options, loader_options, optimizer_options
from edge_seg.train.run import CONFIG, REPORT, RunConfig, TrainSettings, finds_nothing, load_run, read_config
from edge_seg.words import counted

if TYPE_CHECKING:
    from edge_seg.data.coco import CocoDataset
    from edge_seg.runtime.segmenter import Segmenter

_FOLDER = click.Path(path_type=Path)
_COUNT = click.IntRange(min=1)
_COUNT_OR_OFF = click.IntRange(min=0)
_ZOOM = Finite(min=0, max=10, min_open=True)
_DEVICE = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "gpu"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto: on a GPU where paddle can use one.",
)

DEFAULT_SIZE = (320, 320)
DEFAULT_LONG_SIDE = 1333
LR_PER_IMAGE = 0.00125  # of the published recipe: 0.01 at batch 8
MOST_WARMUP = 500
LEAST_WARMUP = 0.05
"""Of all steps: with a handful of images an epoch is a few steps, and the full rate after them ends in dead heads."""
RANDOM_WEIGHTS = (
    "starting from random weights: with a few hundred images and epochs the model will find little; --weights takes "
    "trained ones"
)

FEW_IMAGES = 32
LEARN_BY_HEART = (
    "{}: from random weights the defaults learn so few by heart slowly; --batch 4 --optimizer adamw --lr 0.001 "
    "--weight-decay 0 --clip-norm 1 --schedule cosine and --epochs for about 600 steps are faster (docs/training.md)"
)


def _read_config(context: click.Context, _parameter: click.Parameter, file: Path | None) -> None:
    """Makes the file's values the command's defaults."""
    if file is not None:
        from edge_seg.train.options_file import read_options

        context.default_map = read_options(file, context.command)


@click.command()
@click.argument("model")
@click.option("--data", type=_FOLDER, required=True, help="Folder with train.json, val.json and images/ (COCO).")
@click.option("--out", type=_FOLDER, required=True, help="The run folder to write.")
@click.option(
    "--config",
    type=_FOLDER,
    callback=_read_config,
    is_eager=True,
    expose_value=False,
    help="Options from a YAML or TOML file, such as RUN/options.yaml; those given here win.",
)
@click.option("--epochs", type=_COUNT, default=12, show_default=True, help="Passes over the training images.")
@click.option("--batch", type=_COUNT, default=2, show_default=True, help="Images a batch and process.")
@click.option("--size", type=SIZE, help="Network input; in training too, without --short-side.  [default: 320]")
@click.option("--scale", nargs=2, type=_ZOOM, default=(0.8, 1.25), show_default=True, help="Random zoom.")
@click.option("--short-side", type=_COUNT, multiple=True, help="Resize by the short side; several: one at random.")
@click.option("--long-side", type=_COUNT, help="Longest side with --short-side.  [default: 1333]")
@augmentation_options
@loader_options
@click.option(
    "--weights",
    default="",
    metavar="FILE|URL|NAME|none",
    help="Weights to begin with: a file, a run, an address, a name of `edge-seg weights list`, imagenet, coco.  "
    "[default: the model's ImageNet weights where they can be had]",
)
@click.option("--partial", is_flag=True, help="Load what fits of --weights, even if they are another model's.")
@click.option(
    "--freeze-at",
    type=click.IntRange(0, 5),
    help="Backbone parts left as in --weights: 1 the stem, 2 and res2, … 5 all.  [default: 2 with --weights, else 0]",
)
@click.option(
    "--frozen-norm/--no-frozen-norm",
    default=None,
    help="Leave batch normalisation as in --weights: for small batches.  [default: with --weights]",
)
@optimizer_options
@click.option("--qat", is_flag=True, help="Quantization-aware training: fine-tunes --weights for int8.")
@click.option("--seed", type=_COUNT_OR_OFF, default=0, show_default=True, help="Equal seeds give equal trainings.")
@click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint; begin if there is no run yet.")
@click.option("--eval-every", type=_COUNT_OR_OFF, default=1, show_default=True, help="Epochs an evaluation; 0: none.")
@click.option(
    "--checkpoint-every",
    type=_COUNT,
    default=500,
    show_default=True,
    help="Steps; also after epochs, as long as that takes a twentieth of the time at most.",
)
@click.option("--log-every", type=_COUNT, default=20, show_default=True, help="Steps a line of metrics.jsonl.")
@click.option("--max-steps", type=_COUNT_OR_OFF, default=0, help="Stop after this many steps; 0: no limit.")
@click.option(
    "--scalars",
    type=click.Choice(["none", "tensorboard"]),
    default="none",
    help="Also write losses, rate and mAP for TensorBoard, into RUN/scalars; needs tensorboardX.",
)
@_DEVICE
@json_option
@in_huge_pages
def train(
    model: str,
    data: Path,
    out: Path,
    resume: bool,
    device: str,
    weights: str,
    partial: bool,
    workers: int,
    scalars: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Train MODEL (a name from `edge-seg zoo`) on a COCO folder and write a run.

    A killed training goes on when the same command is given again with --resume, and ends as if it had run through.

    Several processes, on one machine or more, train together through paddle's launcher: a batch is then --batch images
    of each of them.

    \b
    Examples:
      edge-seg train mask_rcnn_tiny_fpn --data shapes --out run
      edge-seg train mask_rcnn_r18_fpn --data photos --out run --size 640
      edge-seg train mask_rcnn_r18_fpn --data photos --out run8 --size 640 --qat \\
          --weights run/model.pdparams --epochs 2 --lr 0.0005
      python -m paddle.distributed.launch --nproc_per_node 2 \\
          "$(command -v edge-seg)" train mask_rcnn_r50_fpn --data photos --out run
    """
    zoo.find(model)
    from edge_seg.data.coco import load_splits
    from edge_seg.data.left import before_training, fitted
    from edge_seg.train import amp, distributed, folder, pretrained
    from edge_seg.train import device as devices
    from edge_seg.train.display import Display
    from edge_seg.train.initial import read_source
    from edge_seg.train.options_file import write_options
    from edge_seg.train.trainer import Trainer

    context = click.get_current_context()
    options["amp"] = options["amp"] or ""
    device = devices.use(device, processes=distributed.size_here())
    amp.check(options["amp"], device)
    processes = distributed.join()
    threads = max(1, min(8, os.cpu_count() or 1) // distributed.size_here()) if device == "gpu" else 1
    splits = load_splits(data)
    display = context.with_resource(Display(quiet=not processes.leads))

    def trainer_of(config: RunConfig) -> Trainer:
        return Trainer(
            out,
            config,
            *splits,
            display,
            workers=threads,
            worker_processes=workers,
            processes=processes,
            scalars=scalars,
        )

    if not processes.leads:
        trainer = trainer_of(processes.receive(RunConfig))
        trainer.share()
        trainer.run()
        return
    if not resume:
        folder.check_new(out)
    resumed = resume and (out / CONFIG).is_file()
    file, classes = (None, None) if resumed else pretrained.locate(weights, model, display.say)
    options["processes"] = processes.size
    given = _given(context, out if resumed else None)
    source = None if file is None else read_source(file)
    config = _config(model, data, splits[0], **{**options, "weights": "" if file is None else str(file)})
    config = dataclasses.replace(config, settings=dataclasses.replace(config.settings, **given))
    before = read_config(out) if resumed else source.run if source is not None else None
    if before is not None and before.model == model:
        config = dataclasses.replace(config, box_width=before.box_width, widths=before.widths)
    settings, input_size = config.settings, config.preprocess.size
    whole = fitted(input_size, settings.short_sides, settings.long_side)
    for line in before_training(*splits, whole, input_size):
        display.say(line)
    if settings.qat and not settings.weights:
        display.say("Warning: --qat fine-tunes trained weights for int8, and none are given (--weights)")
    if resumed:
        context.with_resource(folder.held(out))
    trainer = trainer_of(config)
    if resumed:
        trainer.resume()
    elif source is None:
        display.say(RANDOM_WEIGHTS)
        if len(splits[0]) <= FEW_IMAGES and settings.optimizer != "adamw":
            display.say(LEARN_BY_HEART.format(counted(len(splits[0]), "image")))
        trainer.start()
    else:
        trainer.start(source if classes is None else dataclasses.replace(source, classes=classes), partial=partial)
    if not resumed:
        context.with_resource(folder.held(out))
    write_options(out, context)
    display.say(_frozen(settings))
    display.say(_steps(settings))
    sizes = (len(splits[0]), "image"), (len(config.classes), "class"), (trainer.total_steps, "step")
    display.say(f"{model}: {', '.join(counted(*size) for size in sizes)}")
    try:
        processes.share(config)
        trainer.share()
        config = trainer.run()
    except (KeyboardInterrupt, SystemExit):
        step = trainer.state.step
        display.say(f"stopped at step {step}; the same command with --resume goes on from the last checkpoint")
        raise
    display.clear()
    if (out / REPORT).is_file():
        display.say(f"report: {out / REPORT}")
    if warning := finds_nothing(out, config.metrics):
        display.say(f"Warning: {warning}")
    if as_json:
        echo_json({"run": out, "steps": trainer.state.step, "seconds": trainer.state.seconds, **config.metrics})
    else:
        click.echo(f"{out}: {_summary(config.metrics)}")


def _config(
    model: str,
    data: Path,
    dataset: CocoDataset,
    *,
    size: tuple[int, int] | None,
    scale: tuple[float, float],
    short_side: tuple[int, ...],
    long_side: int | None,
    lr: float | None,
    weight_decay: float | None,
    warmup_steps: int | None,
    decay_epochs: str | None,
    weights: str,
    freeze_at: int | None,
    frozen_norm: bool | None,
    rois: int | None,
    **options: Any,
) -> RunConfig:
    """The run's configuration, with every default put in."""
    if long_side and not short_side:
        raise UsageError("--long-side is used only with --short-side", remedy="give --short-side too")
    if scale[0] > scale[1]:
        raise UsageError(f"--scale {scale[0]:g} {scale[1]:g}: expected the smaller factor first")
    long_side = (long_side or DEFAULT_LONG_SIDE) if short_side else 0
    if short_side and max(short_side) > long_side:
        raise UsageError(f"--short-side {max(short_side)} is longer than --long-side {long_side}")
    epochs, batch = options["epochs"], options["batch"]
    accumulate, adamw = options["accumulate"], options["optimizer"] == "adamw"
    if options["mosaic"] and short_side:
        raise UsageError("--mosaic needs a window of one size", remedy="leave out --mosaic, or --short-side")
    epoch_steps = _epoch_steps(dataset, options)
    total = min(epochs * epoch_steps, options["max_steps"] or sys.maxsize)
    default_warmup = min(MOST_WARMUP, max(epoch_steps, round(epochs * epoch_steps * LEAST_WARMUP)))
    if warmup_steps is not None and warmup_steps > total:
        raise UsageError(
            f"--warmup-steps {warmup_steps}: the whole training has {total} steps and would never reach its rate",
            remedy=f"give at most {total}, or leave it out: then it is {default_warmup}",
        )
    settings = TrainSettings(
        lr=LR_PER_IMAGE * batch * options["processes"] * accumulate * (0.01 if adamw else 1) if lr is None else lr,
        weight_decay=(0.05 if adamw else 1e-4) if weight_decay is None else weight_decay,
        warmup_steps=default_warmup if warmup_steps is None else warmup_steps,
        decay_epochs=_epochs(decay_epochs) if decay_epochs is not None else (epochs * 2 / 3, epochs * 11 / 12),
        short_sides=short_side,
        long_side=long_side,
        scale_range=(1.0, 1.0) if short_side else scale,
        weights=weights,
        # As published: what ImageNet taught the first layers, and statistics that a small batch would spoil, are kept.
        freeze_at=(2 if weights else 0) if freeze_at is None else freeze_at,
        frozen_norm=bool(weights) if frozen_norm is None else frozen_norm,
        rois=rois or 0,
        **options,
    )
    if size is None:
        # Landscape images at their full training size; others are fitted in.
        size = (_up_to_32(max(short_side)), _up_to_32(long_side)) if short_side else DEFAULT_SIZE
    return RunConfig(
        model=model,
        classes=dataset.classes,
        category_ids=dataset.category_ids,
        preprocess=PreprocessSpec(size),
        postprocess=PostprocessSpec(),
        settings=settings,
        data=str(data.resolve()),  # conversion finds it from wherever it is called
        data_sha256=sha256(dataset.coco_json),
    )


def _given(context: click.Context, run: Path | None) -> dict[str, Any]:
    """The settings of ``run``, whose training goes on, for options that weren't given: its defaults may have been
    others, because other weights were there, or fewer epochs.
    """
    if run is None:
        return {}
    settings = read_config(run).settings
    kept = {}
    for name in ("freeze_at", "frozen_norm", "weights", "warmup_steps"):
        if context.get_parameter_source(name) is ParameterSource.DEFAULT:
            kept[name] = getattr(settings, name)
    return kept


def _frozen(settings: TrainSettings) -> str:
    """What the training leaves as it is, for the user."""
    parts = ["stem", *(f"res{stage}" for stage in range(2, 6))][: settings.freeze_at]
    parts += ["all batch normalisation of the backbone"] if settings.frozen_norm else []
    if not parts:
        return "all layers are trained (--freeze-at 0 --no-frozen-norm)"
    norm = "--frozen-norm" if settings.frozen_norm else "--no-frozen-norm"
    return f"frozen: {', '.join(parts)} (--freeze-at {settings.freeze_at} {norm})"


def _steps(settings: TrainSettings) -> str:
    """What a step learns from, for the user."""
    parts = [f"{settings.batch} images"]
    parts += [f"{settings.processes} processes"] if settings.processes > 1 else []
    parts += [f"{settings.accumulate} batches"] if settings.accumulate > 1 else []
    batch = settings.whole_batch * settings.accumulate
    product = f" ({' x '.join(parts)})" if len(parts) > 1 else ""
    precision = f", mixed precision in {settings.amp}" if settings.amp else ""
    return f"effective batch {batch}{product}, learning rate {settings.lr:g}{precision}"


def _epoch_steps(dataset: CocoDataset, options: dict[str, Any]) -> int:
    from edge_seg.data.sampler import Sampler

    batch = options["batch"] * options["processes"]
    group = batch if options["group_by_aspect"] else 0
    length = Sampler(dataset, 0, repeat_factor=options["repeat_factor"], batch=group).length
    return math.ceil(math.ceil(length / batch) / options["accumulate"])


def _epochs(text: str) -> tuple[float, ...]:
    try:
        epochs = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        epochs = (-1.0,)
    if not all(0 < epoch < math.inf for epoch in epochs) or list(epochs) != sorted(epochs):
        raise UsageError(f"--decay-epochs {text!r}: expected rising epochs such as 8,11, or '' for none")
    return epochs


def _up_to_32(side: int) -> int:
    return -(-side // 32) * 32


@click.command("eval")
@click.argument("what", metavar="RUN|BUNDLE", type=_FOLDER)
@click.option("--data", type=_FOLDER, required=True, help="Folder with train.json, val.json and images/ (COCO).")
@click.option("--split", type=click.Choice(["train", "val"]), default="val", show_default=True, help="Which images.")
@click.option("--limit", type=_COUNT, help="Only the first so many images.")
@click.option("--threads", type=THREADS, default=0, help="0: as many as the engine likes.")
@click.option("--engine", help="Of a bundle, instead of the one in its manifest.")
@_DEVICE
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the report as one HTML page.")
@json_option
@guarded
def evaluate(
    what: Path,
    data: Path,
    split: str,
    limit: int | None,
    threads: int,
    engine: str | None,
    device: str,
    html: Path | None,
    as_json: bool,
) -> None:
    """Box and mask mAP (COCO, IoU 0.50 to 0.95) of a run's best weights or of a bundle.

    \b
    Examples:
      edge-seg eval run --data shapes
      edge-seg eval bundles/x86-fp32 --data shapes --json
      edge-seg eval run --data shapes --html eval.html
    """
    from edge_seg.data.coco import load_split
    from edge_seg.train.display import Display
    from edge_seg.train.evaluate import evaluate as run_evaluation

    if html is not None:
        from edge_seg.pages.page import check_output

        check_output(html, [what, data])
    segmenter = _open(what, threads, engine, device)
    dataset = load_split(data, split)
    results: list[dict[str, Any]] = []
    display = Display()
    phase("evaluating")
    with segmenter:
        found = run_evaluation(
            segmenter,
            dataset,
            limit=limit,
            progress=lambda done, total: display.status("evaluating", done, total),
            results=results,
        )
    display.clear()
    if html is not None or as_json:
        from edge_seg.train.breakdown import break_down

        records = dataset.images[: found.images]
        breakdown = break_down(dataset, records, results)
    if html is not None:
        from edge_seg.pages.page import this_command
        from edge_seg.train.page import make_page

        title = f"Evaluation of {what.resolve().name}"
        make_page(title, breakdown, dataset, records, results, command=this_command()).write(html)
    if as_json:
        echo_json({"evaluated": what, "split": split, **dataclasses.asdict(found), "coco": breakdown.as_json()})
        return
    click.echo(f"{what}: {_summary({'box_map': found.box_map, 'mask_map': found.mask_map})}")
    sizes = (found.images, "image"), (found.objects, "object"), (found.detections, "detection")
    click.echo(", ".join(counted(*size) for size in sizes))
    for name, value in found.class_mask_map.items():
        click.echo(f"  {name}: mask mAP {_shown(value)}")


def _open(what: Path, threads: int, engine: str | None, device: str) -> Segmenter:
    """A segmenter over a bundle or a run, whichever ``what`` is."""
    from edge_seg.runtime.segmenter import Segmenter

    if (what / MANIFEST).is_file():
        if device != "auto":
            raise UsageError("--device is for runs; a bundle's recipe says where it runs", remedy="leave it out")
        phase(f"loading {what}")
        return Segmenter(what, engine=engine, threads=threads)
    if not (what / CONFIG).is_file():
        raise RunError(
            f"{what}: neither a run (no {CONFIG}) nor a bundle (no {MANIFEST})",
            remedy="give the folder that `edge-seg train` or `edge-seg convert` made",
            code="run-missing",
        )
    if engine:
        raise UsageError("--engine is for bundles; a run is evaluated by paddle itself")
    return open_run(what, threads, device)


def open_run(path: Path, threads: int, device: str, score: float | None = None) -> Segmenter:
    """A segmenter over the layers of the run in ``path``, with its best weights; ``score`` is the least score kept."""
    from edge_seg.runtime.segmenter import Segmenter

    run = load_run(path)
    from edge_seg.train import device as devices
    from edge_seg.train.engine import DynamicEngine

    phase(f"loading {path}")
    devices.use(device, threads)
    config = run.config
    rule = config.postprocess if score is None else dataclasses.replace(config.postprocess, score_threshold=score)
    engine = DynamicEngine(run.build_model(), config.size)
    return Segmenter.over(engine, config.preprocess, rule, classes=config.classes)


def _summary(metrics: dict[str, float | None]) -> str:
    if not metrics:
        return "not evaluated"
    return f"box mAP {_shown(metrics['box_map'])}, mask mAP {_shown(metrics['mask_map'])} (IoU 0.50 to 0.95)"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

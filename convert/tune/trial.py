"""One point of the search: a setting, converted for this machine, and how well it finds the objects in the user's data.

Made in a child process (``python -m convert.tune.trial``): a library that aborts costs one point, not the search.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.recipe import Recipe, find_recipe
from edge_seg.errors import ConversionError
from edge_seg.plain import from_plain
from edge_seg.process.child import failure, refusing, run_module
from edge_seg.tuning import Point, Setting

LIMIT_S = 4 * 3600.0


@dataclass(frozen=True)
class Order:
    """What a child is to do. The bundle goes to ``bundle``.

    With a box head narrower than ``run``'s, the pruned run in ``pruned`` is used, and made first where it isn't there;
    ``seed`` and ``command`` are for that.
    """

    setting: Setting
    run: str
    pruned: str | None
    data: str
    split: str
    image_ids: tuple[int, ...]
    bundle: str
    seed: int
    command: str


def judge_of(recipe: Recipe) -> Recipe:
    """The recipe whose bundle says on this machine how accurate ``recipe`` is.

    In fp32 all engines find the same (every conversion is checked for it), so the fastest here is asked.
    """
    return (
        find_recipe("cpu-fp32")
        if recipe.precision == "fp32" and recipe.host_check != recipe.name
        else find_recipe(recipe.host_check)
    )


def make_point(order: Order, scratch: Path) -> Point:
    """Converts and evaluates in a child process. Raises :class:`ConversionError` with the child's reason."""
    file = scratch / "order.json"
    file.write_text(json.dumps(dataclasses.asdict(order)), encoding="utf-8")
    outcome = run_module("convert.tune.trial", file, limit_s=LIMIT_S)
    lines = outcome.stdout.splitlines()
    if not outcome.ok or not lines:
        raise failure(outcome, "its process", code="point-failed")
    return from_plain(Point, json.loads(lines[-1]), "point", ConversionError)


def _carry_out(order: Order) -> Point:
    from convert.job import Options, layers, run_job
    from convert.pipeline import make_bundles
    from edge_seg.bundle import open_bundle
    from edge_seg.data.coco import load_split
    from edge_seg.models.cost import measure
    from edge_seg.runtime.segmenter import Segmenter
    from edge_seg.train.evaluate import evaluate

    setting = order.setting
    options = Options(size=setting.size, proposals=setting.proposals, before_nms=setting.before_nms, keep=setting.keep)
    job = run_job(_run_of(order), options)
    network = layers(job).network
    cost = measure(network, setting.size)
    judge = judge_of(find_recipe(setting.recipe))
    make_bundles(job, [judge], Path(order.bundle))
    dataset = load_split(Path(order.data), order.split)
    wanted = set(order.image_ids)
    dataset = dataclasses.replace(dataset, images=tuple(r for r in dataset.images if r.id in wanted))
    bundle = open_bundle(Path(order.bundle))
    # One thread: the same result on every machine, however many cores it has.
    with Segmenter(bundle, threads=1) as segmenter:
        found = evaluate(segmenter, dataset)
    return Point(
        setting=setting,
        judge=judge.name,
        box_map=found.box_map,
        mask_map=found.mask_map,
        box_ap50=found.box_ap50,
        mask_ap50=found.mask_ap50,
        images=found.images,
        objects=found.detections / found.images,
        model_bytes=bundle.model_bytes,
        trunk_mac=cost.trunk_mac,
        box_mac=cost.box_mac,
        mask_mac=cost.mask_mac,
    )


def _run_of(order: Order) -> Path:
    if order.pruned is None:
        return Path(order.run)
    pruned = Path(order.pruned)
    if not pruned.exists():
        from edge_seg.data.coco import load_split
        from edge_seg.train.prune import prune_box_head
        from edge_seg.train.run import load_run

        run, train = load_run(order.run), load_split(Path(order.data), "train")
        prune_box_head(run, order.setting.box_width, train, pruned, seed=order.seed, command=order.command)
    return pruned


def _main(file: str) -> None:
    plain: Any = json.loads(Path(file).read_text(encoding="utf-8"))
    print(json.dumps(dataclasses.asdict(_carry_out(from_plain(Order, plain, file, ConversionError)))), flush=True)


if __name__ == "__main__":
    # Inference libraries crash in their destructors; the answer is out by then.
    os._exit(refusing(lambda: _main(sys.argv[1])))

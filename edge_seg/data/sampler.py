"""In which order the images of an epoch come, and how often each.

All of it follows from (seed, epoch): nothing is remembered from epoch to epoch, so a resumed training goes on with the
order that it would have had.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from edge_seg.data.coco import CocoDataset

Indices = NDArray[np.int64]


class Sampler:
    """The places of an epoch: ``length`` of them, the same in every epoch.

    With ``repeat_factor`` t, an image with a class that only a share f < t of the images has comes sqrt(t / f) times an
    epoch (Gupta et al., LVIS, 2019); fractions are drawn. With ``batch`` above 0, each batch of that size holds only
    images that are wider than high, or only others; an epoch is then filled up to whole batches of each kind.
    """

    def __init__(self, dataset: CocoDataset, seed: int, *, repeat_factor: float = 0.0, batch: int = 0) -> None:
        self._seed, self._batch = seed, batch
        self._repeats = repeats(dataset, repeat_factor)
        self._wide = np.array([record.width > record.height for record in dataset.images])
        self._drawn = round(float(self._repeats.sum()))
        self.length = self._drawn
        if batch:
            whole = np.floor(self._repeats)
            # Which fractions are drawn decides how many are wide: room for the most there can be, of either kind.
            free = self._drawn - int(whole.sum())
            most = [min(int(whole[kind].sum()) + free, int(np.ceil(self._repeats[kind]).sum())) for kind in self._kinds]
            self.length = sum(-(-count // batch) for count in most) * batch
        # One value, so that threads that draw from neighbouring epochs never mix the two.
        self._latest: tuple[int, Indices] = (-1, np.zeros(0, np.int64))

    @property
    def _kinds(self) -> list[NDArray[np.bool_]]:
        return [kind for kind in (self._wide, ~self._wide) if kind.any()]

    def index(self, epoch: int, place: int) -> int:
        """The image at a place of an epoch."""
        latest, order = self._latest
        if epoch != latest:
            order = self.order(epoch)
            self._latest = (epoch, order)
        return int(order[place])

    def order(self, epoch: int) -> Indices:
        """The epoch's images by their indices, int64[length]."""
        rng = np.random.default_rng([self._seed, epoch])
        images = np.arange(len(self._repeats)) if (self._repeats == 1).all() else self._draw(rng)
        order = rng.permutation(images)
        return self._grouped(order, rng) if self._batch else order

    def _draw(self, rng: np.random.Generator) -> Indices:
        whole = np.floor(self._repeats).astype(np.int64)
        rest = self._repeats - whole
        missing = self._drawn - int(whole.sum())
        if missing:
            whole[rng.choice(len(rest), missing, replace=False, p=rest / rest.sum())] += 1
        return np.repeat(np.arange(len(whole)), whole)

    def _grouped(self, order: Indices, rng: np.random.Generator) -> Indices:
        batches: list[Indices] = []
        for kind in self._kinds:
            mine = order[kind[order]]
            count = -(-len(mine) // self._batch) * self._batch
            batches += list(np.resize(mine, count).reshape(-1, self._batch)) if len(mine) else []
        while len(batches) * self._batch < self.length:
            batches.append(batches[int(rng.integers(len(batches)))])
        return np.concatenate([batches[i] for i in rng.permutation(len(batches))])


def repeats(dataset: CocoDataset, threshold: float) -> NDArray[np.float64]:
    """How often each image comes in an epoch, float64[N], at least 1."""
    if not threshold:
        return np.ones(len(dataset))
    labels = [{a.label for a in record.annotations if not a.crowd} for record in dataset.images]
    images = Counter(label for found in labels for label in found)
    factor = {label: max(1.0, math.sqrt(threshold * len(dataset) / count)) for label, count in images.items()}
    return np.array([max((factor[label] for label in found), default=1.0) for found in labels])

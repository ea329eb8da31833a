"""The order of an epoch: each image as often as it should come, batches of one kind, nothing remembered."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edge_seg.data.coco import Annotation, CocoDataset, ImageRecord
from edge_seg.data.sampler import Sampler, repeats


def dataset(labels: list[tuple[int, ...]], wide: list[bool] | None = None) -> CocoDataset:
    images = []
    for number, found in enumerate(labels):
        annotations = tuple(Annotation(i, label, (0, 0, 4, 4), 16.0, False, []) for i, label in enumerate(found))
        width = 20 if wide is None or wide[number] else 10
        images.append(ImageRecord(number, Path("x"), width, 15, annotations))
    return CocoDataset(Path("train.json"), tuple(images), ("a", "b"), (1, 2))


# One image in a hundred holds the rare class.
RARE = dataset([(0,)] * 99 + [(0, 1)])


def test_rare_classes_come_more_often_by_the_rule_of_lvis() -> None:
    assert repeats(RARE, 0.16).tolist() == [1.0] * 99 + [pytest.approx(4.0)]
    sampler = Sampler(RARE, 3, repeat_factor=0.16)
    assert sampler.length == 103
    for epoch in range(3):
        assert Counter(sampler.order(epoch).tolist()) == {**dict.fromkeys(range(99), 1), 99: 4}
    assert Sampler(RARE, 3).length == 100


def test_fractions_are_drawn_anew_each_epoch() -> None:
    sampler = Sampler(RARE, 3, repeat_factor=0.0225)  # sqrt(2.25) = 1.5 times
    counts = [int((sampler.order(epoch) == 99).sum()) for epoch in range(8)]
    assert sampler.length in (100, 101)
    assert set(counts) <= {1, 2}


def test_without_options_it_is_one_permutation_an_epoch() -> None:
    sampler = Sampler(RARE, 5)
    assert sorted(sampler.order(0).tolist()) == list(range(100))
    assert sampler.order(0).tolist() != sampler.order(1).tolist()
    assert Sampler(RARE, 5).order(7).tolist() == sampler.order(7).tolist()
    assert sampler.index(2, 11) == sampler.order(2)[11]


@pytest.mark.parametrize("repeat_factor", [0.0, 0.3])
def test_a_grouped_batch_holds_images_of_one_kind(repeat_factor: float) -> None:
    wide = [number % 3 == 0 for number in range(20)]
    images = dataset([(1,) if number == 4 else (0,) for number in range(20)], wide)
    sampler = Sampler(images, 1, repeat_factor=repeat_factor, batch=4)
    assert sampler.length % 4 == 0
    for epoch in range(4):
        order = sampler.order(epoch)
        assert len(order) == sampler.length
        assert set(order.tolist()) == set(range(20))
        kinds = np.array(wide)[order].reshape(-1, 4)
        assert (kinds.all(axis=1) | ~kinds.any(axis=1)).all()

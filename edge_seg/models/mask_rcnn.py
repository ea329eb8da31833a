"""Mask R-CNN with a feature pyramid (He et al., 2017).

N: images, G: objects of an image, R: proposals, C: classes without background, H, W: input size, multiples of 32.
Boxes are xyxy in input pixels. A score's last column is the background.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edge_seg.manifest import PostprocessSpec, ProposalSpec
from edge_seg.models import box_head, mask_head, rpn
from edge_seg.models.batch_norm import BatchNorm
from edge_seg.models.boxes import decode
from edge_seg.models.fpn import FPN
from edge_seg.models.hrfpn import HRFPN
from edge_seg.models.matcher import match, sample
from edge_seg.models.roi_align import pool
from edge_seg.paddle_env import nn, paddle
from edge_seg.runtime.anchors import RATIOS, pyramid_anchors
from edge_seg.runtime.postprocess import Detections, select

if TYPE_CHECKING:
    from edge_seg.data.batch import Batch

F = nn.functional


# Objectness of a dummy proposal: below every logit, and within fp16.
_NO_OBJECT = -1e4


@dataclass(frozen=True)
class Settings:
    """Widths and numbers of one Mask R-CNN. Defaults: PaddleDetection's ``mask_rcnn_r50_fpn``."""

    pyramid_width: int = 256
    box_width: int = 1024
    mask_width: int = 256
    hrfpn: bool = False
    anchor_sizes: tuple[float, ...] = (32, 64, 128, 256, 512)
    canonical_size: int = 224
    train_before_nms: int = 2000
    train_after_nms: int = 1000
    test_before_nms: int = 1000
    rpn_samples: int = 256
    box_samples: int = 512


@dataclass(frozen=True)
class _Sampled:
    """Proposals drawn for the heads, the images' one after the other, as numpy."""

    boxes: npt.NDArray[np.float32]
    counts: list[int]
    labels: npt.NDArray[np.int64]
    objects: npt.NDArray[np.int64]  # index into all images' objects; meaningless for background

    @property
    def foreground(self) -> npt.NDArray[np.int64]:
        return np.flatnonzero(self.objects >= 0)


class MaskRCNN(nn.Layer):
    """``loss`` for training; ``detect`` and ``masks``, the two graphs of a bundle, for everything else."""

    def __init__(self, backbone: Any, num_classes: int, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.num_classes = num_classes
        width = settings.pyramid_width
        self.backbone = backbone
        self.neck = (HRFPN if settings.hrfpn else FPN)(backbone.out_specs, width)
        self.rpn_head = rpn.RPNHead(width, len(RATIOS))
        self.bbox_head = box_head.BoxHead(width, settings.box_width, num_classes)
        self.mask_head = mask_head.MaskHead(width, settings.mask_width, num_classes)
        self.size = (0, 0)
        self.proposals = 0
        self.before_nms = 0

    def freeze(self, stages: int) -> None:
        """Leaves the backbone's first ``stages`` (1: the stem, 2: and res2, up to 5) as they are, statistics included.

        PaddleDetection's ``freeze_at`` counts from the stage after the stem: its 0 is 2 here.
        """
        for layer in [layer for part in self.backbone.parts[:stages] for layer in part]:
            for parameter in layer.parameters():
                parameter.stop_gradient = True
            for norm in layer.sublayers():
                if isinstance(norm, nn.BatchNorm2D):
                    norm._use_global_stats = True

    def synchronize_norm(self, mean_of: Callable[[Any], Any]) -> None:
        """Normalises, in training, by the statistics of all processes' images; see :class:`BatchNorm`."""
        for layer in self.sublayers():
            if isinstance(layer, BatchNorm):
                layer.mean_of = mean_of

    def features(self, images: Any) -> list[Any]:
        """float32[N, 3, H, W] -> P2 to P6, [N, width, H/s, W/s]."""
        maps: list[Any] = self.neck(self.backbone(images))
        return maps

    def anchors(self, size: tuple[int, int]) -> list[npt.NDArray[np.float32]]:
        """The anchors of P2 to P6 for an input of ``size`` (height, width), float32[Hi, Wi, A, 4]."""
        return _cached_anchors(tuple(self.neck.grids(size)), self.settings.anchor_sizes)

    def set_input(self, size: tuple[int, int], proposals: int, before_nms: int | None = None) -> None:
        """Fixes the input size (height, width) and the number of proposals of :meth:`detect`.

        ``before_nms`` bounds the boxes of each pyramid level that enter the proposals' NMS; None: the settings' number.

        The anchors become buffers, because a graph for Paddle Lite can't compute them.
        """
        self.size, self.proposals = size, proposals
        self.before_nms = before_nms or self.settings.test_before_nms
        for level, anchors in enumerate(self.anchors(size), start=2):
            self.register_buffer(f"anchors{level}", paddle.to_tensor(anchors), persistable=False)

    def proposal_rules(self, before_nms: int | None = None) -> ProposalSpec:
        """How a runtime makes the proposals; ``before_nms`` as for :meth:`set_input`."""
        settings = self.settings
        sizes, before = tuple(map(float, settings.anchor_sizes)), before_nms or settings.test_before_nms
        return ProposalSpec(sizes, before, rpn.NMS_IOU, box_head.WEIGHTS)

    def propose(self, image: Any) -> tuple[Any, list[Any]]:
        """One image [1, 3, H, W] -> proposals [R, 4] and P2 to P5.

        R is ``proposals`` always: where fewer were found, the rest are boxes without area, which the host drops.
        """
        maps = self.features(image)
        logits, deltas = self.rpn_head(maps)
        anchors = [getattr(self, f"anchors{level}") for level in range(2, 7)]
        size = paddle.concat([paddle.full([1, 1], float(side)) for side in self.size], axis=1)
        levels = rpn.propose(logits, deltas, anchors, size, before=self.before_nms, after=self.proposals)
        # Paddle Lite aborts when topk is asked for more than there is: dummies are appended.
        boxes = paddle.concat([boxes for boxes, _, _ in levels] + [paddle.zeros([self.proposals, 4])])
        objectness = paddle.concat([score for _, score, _ in levels] + [paddle.full([self.proposals, 1], _NO_OBJECT)])
        _, order = paddle.topk(objectness.reshape([-1]), self.proposals)
        return paddle.gather(boxes, order), maps[:4]

    def classify(self, pooled: Any, rois: Any) -> tuple[Any, Any]:
        """``rois`` [R, 4] and their features [R, width, 7, 7] -> boxes [R, C, 4] and softmax scores [R, C + 1]."""
        class_logits, box_deltas = self.bbox_head(pooled)
        scores = F.softmax(class_logits, axis=1)
        return decode(rois, box_deltas.reshape([-1, self.num_classes, 4]), box_head.WEIGHTS), scores

    def draw(self, pooled: Any, channel: Any) -> Any:
        """Features [N, width, 14, 14] -> mask probabilities [N, 28, 28]; ``channel`` int32[N] is ``n * C + class``."""
        classes = paddle.full([1], self.num_classes, dtype="int32")  # Paddle Lite aborts on a shape without an axis
        return F.sigmoid(self.mask_head.of_class(pooled, channel % classes))

    def detect(self, image: Any) -> tuple[Any, Any, list[Any]]:
        """One image [1, 3, H, W] -> boxes [R, C, 4], softmax scores [R, C + 1] and P2 to P5."""
        rois, maps = self.propose(image)
        count = paddle.full([1], self.proposals, dtype="int32")
        boxes, scores = self.classify(self._pool(maps, rois, count, box_head.RESOLUTION), rois)
        return boxes, scores, maps

    def masks(self, maps: Sequence[Any], boxes: Any, count: Any, channel: Any) -> Any:
        """Mask probabilities float32[N, 28, 28] of ``boxes`` [N, 4]; N >= 1.

        ``maps`` are P2 to P5 of one image, ``count`` int32[1] is N, ``channel`` int32[N] is ``n * C + class``.
        """
        return self.draw(self._pool(maps, boxes, count, mask_head.RESOLUTION), channel)

    def predict(self, image: Any, spec: PostprocessSpec) -> tuple[Detections, npt.NDArray[np.float32]]:
        """What is found in one image [1, 3, H, W]: detections, and their mask probabilities float32[N, 28, 28].

        The model must be in evaluation mode and :meth:`set_input` called with (H, W).
        """
        with paddle.no_grad():
            boxes, scores, maps = self.detect(image)
            found = select(boxes.numpy(), scores.numpy(), spec)
            if not len(found):
                return found, np.zeros((0, mask_head.MASK_SIZE, mask_head.MASK_SIZE), np.float32)
            channel = (np.arange(len(found)) * self.num_classes + found.classes).astype(np.int32)
            count = paddle.full([1], len(found), dtype="int32")
            masks = self.masks(maps, paddle.to_tensor(found.boxes), count, paddle.to_tensor(channel))
        return found, masks.numpy()

    def loss(
        self,
        batch: Batch,
        rngs: Sequence[np.random.Generator],
        weights: Callable[[Sequence[int]], Sequence[float]] = lambda counts: [1.0] * len(counts),
    ) -> dict[str, Any]:
        """The five losses, scalars to be added up; ``rngs``, one an image, draw the anchors and proposals that count.

        Where several processes share a batch, ``weights`` is told how many proposals and how many objects' proposals
        this one's means are over, and gives the factors that make the processes' mean that over all.
        """
        settings = self.settings
        images = paddle.to_tensor(batch.images)
        maps = self.features(images)
        logits, deltas = self.rpn_head(maps)
        size = (images.shape[2], images.shape[3])
        anchors = [paddle.to_tensor(a) for a in self.anchors(size)]
        targets = [paddle.to_tensor(boxes.reshape(-1, 4)) for boxes in batch.boxes]
        rpn_cls, rpn_reg = rpn.rpn_loss(logits, deltas, anchors, targets, rngs, samples=settings.rpn_samples)

        with paddle.no_grad():
            # Proposals end where the image ends: in the padding there is nothing to learn.
            sizes = paddle.to_tensor(np.asarray(batch.sizes, np.float32))
            levels = rpn.propose(
                logits, deltas, anchors, sizes, before=settings.train_before_nms, after=settings.train_after_nms
            )
            sampled = self._sample(best_of_levels(levels, settings.train_after_nms), batch, rngs)
        rois = paddle.to_tensor(sampled.boxes)
        counts = paddle.to_tensor(np.asarray(sampled.counts, np.int32))
        class_logits, box_deltas = self.bbox_head(self._pool(maps, rois, counts, box_head.RESOLUTION))
        truth = np.concatenate([boxes.reshape(-1, 4) for boxes in batch.boxes])
        foreground = sampled.foreground
        box_cls, box_reg = box_head.box_loss(
            class_logits,
            box_deltas,
            rois,
            paddle.to_tensor(sampled.labels),
            paddle.to_tensor(foreground),
            paddle.to_tensor(truth[sampled.objects[foreground]]),
        )
        of_all, of_objects = weights([len(sampled.boxes), len(foreground)])
        return {
            "rpn_cls": rpn_cls,
            "rpn_reg": rpn_reg,
            "box_cls": box_cls * of_all,
            "box_reg": box_reg * of_all,
            "mask": self._mask_loss(maps, sampled, batch) * of_objects,
        }

    def _pool(self, maps: Sequence[Any], boxes: Any, counts: Any, resolution: int) -> Any:
        return pool(maps[:4], boxes, counts, resolution=resolution, canonical_size=self.settings.canonical_size)

    def _sample(
        self, proposals: list[npt.NDArray[np.float32]], batch: Batch, rngs: Sequence[np.random.Generator]
    ) -> _Sampled:
        boxes, counts, labels, objects = [], [], [], []
        first = 0
        for found, truth, classes, rng in zip(proposals, batch.boxes, batch.labels, rngs, strict=True):
            truth = truth.reshape(-1, 4)
            # The objects themselves take part: early on no proposal overlaps them.
            candidates = np.concatenate([found, truth])
            tags, best = match(paddle.to_tensor(candidates), paddle.to_tensor(truth), low=0.5, high=0.5, rescue=False)
            foreground, background = sample(tags, self.settings.box_samples, 0.25, rng)
            chosen = np.concatenate([foreground, background])
            boxes.append(candidates[chosen])
            counts.append(len(chosen))
            labels += [classes[best[foreground]], np.full(len(background), self.num_classes, np.int64)]
            objects += [first + best[foreground], np.full(len(background), -1, np.int64)]
            first += len(truth)
        return _Sampled(np.concatenate(boxes), counts, np.concatenate(labels), np.concatenate(objects))

    def _mask_loss(self, maps: Sequence[Any], sampled: _Sampled, batch: Batch) -> Any:
        foreground = sampled.foreground
        if not len(foreground):
            return paddle.zeros([])
        images = np.repeat(np.arange(len(sampled.counts)), sampled.counts)[foreground]
        boxes = sampled.boxes[foreground]
        # Images without a box are left out: distribute_fpn_proposals refuses them on a CPU.
        present, counts = np.unique(images, return_counts=True)
        chosen = [paddle.gather(x, paddle.to_tensor(present)) for x in maps[:4]]
        rois, counts = paddle.to_tensor(boxes), paddle.to_tensor(counts.astype(np.int32))
        logits = self.mask_head(self._pool(chosen, rois, counts, mask_head.RESOLUTION))
        channel = np.arange(len(foreground)) * self.num_classes + sampled.labels[foreground]
        outlines = [outline for found in batch.outlines for outline in found]
        wanted = mask_head.mask_targets([outlines[i] for i in sampled.objects[foreground]], boxes)
        picked = mask_head.pick(logits, paddle.to_tensor(channel))
        return F.binary_cross_entropy_with_logits(picked, paddle.to_tensor(wanted))


def best_of_levels(levels: Sequence[tuple[Any, Any, Any]], keep: int) -> list[npt.NDArray[np.float32]]:
    """Each image's ``keep`` best proposals of all levels, float32[K, 4]."""
    found_by_image: list[list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]] = []
    for boxes, scores, counts in levels:
        cuts = np.cumsum(counts.numpy())[:-1]
        parts = zip(np.split(boxes.numpy(), cuts), np.split(scores.numpy()[:, 0], cuts), strict=True)
        for i, part in enumerate(parts):
            if i == len(found_by_image):
                found_by_image.append([])
            found_by_image[i].append(part)
    best = []
    for found in found_by_image:
        boxes = np.concatenate([b for b, _ in found])
        order = np.argsort(-np.concatenate([s for _, s in found]), kind="stable")[:keep]
        best.append(boxes[order])
    return best


@lru_cache(maxsize=32)
def _cached_anchors(grids: tuple[tuple[int, int], ...], sizes: tuple[float, ...]) -> list[npt.NDArray[np.float32]]:
    return pyramid_anchors(grids, sizes)

"""A model in training as an engine, so that it is evaluated by the code that runs bundles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.manifest import FEATURES
from edge_seg.models.build import default_proposals
from edge_seg.paddle_env import paddle

if TYPE_CHECKING:
    from edge_seg.models.mask_rcnn import MaskRCNN


class DynamicEngine:
    """Runs ``detect`` and ``mask`` by the layers themselves, as :meth:`MaskRCNN.set_input` was told.

    Puts the model into eval mode; whoever goes on training calls ``model.train()``.
    """

    name = "paddle-dynamic"

    def __init__(
        self, model: MaskRCNN, size: tuple[int, int], proposals: int | None = None, before_nms: int | None = None
    ) -> None:
        self._model = model
        model.eval()
        model.set_input(size, proposals or default_proposals(size), before_nms)

    def run(self, graph: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The graph's outputs by name, as a bundle's engine gives them."""
        tensors = {name: paddle.to_tensor(value) for name, value in inputs.items()}
        with paddle.no_grad():
            if graph == "mask":
                features = [tensors[name] for name in FEATURES]
                masks = self._model.masks(features, tensors["boxes"], tensors["num"], tensors["channel"])
                return {"masks": masks.numpy()}
            boxes, scores, maps = self._model.detect(tensors["image"])
        outputs = {"boxes": boxes, "scores": scores, **dict(zip(FEATURES, maps, strict=True))}
        return {name: np.asarray(value.numpy()) for name, value in outputs.items()}

    def describe(self) -> dict[str, Any]:
        """Name, version and device."""
        return {"engine": self.name, "version": paddle.__version__, "device": paddle.device.get_device()}

    def close(self) -> None:
        """Nothing to free: the model belongs to someone else."""

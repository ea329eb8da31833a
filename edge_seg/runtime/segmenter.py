"""Image in, instances out: preprocessing, the graphs, NMS and mask pasting, whatever the engine."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from edge_seg.bundle import Bundle, open_bundle
from edge_seg.errors import BundleError, EngineError, UsageError
from edge_seg.manifest import FEATURES, GraphSpec, PostprocessSpec, PreprocessSpec
from edge_seg.process.guard import phase
from edge_seg.runtime import one_graph
from edge_seg.runtime.engines import Engine, ImageEngine, open_engine
from edge_seg.runtime.engines.pyramid_engine import PyramidEngine
from edge_seg.runtime.image import load_image
from edge_seg.runtime.masks import paste
from edge_seg.runtime.postprocess import Detections, select, to_image
from edge_seg.runtime.preprocess import Geometry, preprocess
from edge_seg.runtime.result import Frame, Instances
from edge_seg.runtime.turns import turns_at
from edge_seg.words import counted

if TYPE_CHECKING:
    from edge_seg.runtime.image import ImageLike
    from edge_seg.runtime.sources import RawFrame, Source, SourceLike


class _Prepared(NamedTuple):
    """An image uint8[h, w, 3] ready for the engine; ``blob`` and ``geometry`` are None where the engine prepares it."""

    image: NDArray[np.uint8]
    blob: NDArray[np.float32] | None
    geometry: Geometry | None
    ns: int


class _Inferred(NamedTuple):
    """What the graphs gave; or ``found``, where the engine does everything."""

    geometry: Geometry | None
    kept: Detections | None
    probabilities: NDArray[np.float32] | None
    found: Instances | None
    ns: dict[str, int]


class Segmenter:
    """Finds the instances of the bundle's classes in an image.

    Threads may share one: they run the graphs one after the other, since no engine's predictor takes two at once; each
    graph uses several cores. To use more cores, load one Segmenter for each process. After a fork the child needs one
    of its own; a process by multiprocessing's ``spawn`` may be handed one, and loads the bundle anew.

    >>> segmenter = Segmenter("bundles/cpu-fp32")
    >>> found = segmenter("photo.jpg")
    >>> found.boxes, found.scores, found.masks, [segmenter.classes[c] for c in found.classes]
    >>> for frame in segmenter.stream("clip.mp4"):
    ...     print(frame.number, len(frame.found))
    """

    def __init__(
        self,
        bundle: Bundle | Path | str,
        *,
        engine: str | None = None,
        threads: int = 0,
        score: float | None = None,
        instances: int | None = None,
    ) -> None:
        """Checks and loads ``bundle``.

        ``engine`` is the manifest's unless given, ``threads`` the engine's own choice when 0, ``score`` the manifest's
        threshold unless given. With ``instances`` exactly that many best boxes go to the mask graph, whatever their
        scores, so that the cost of N objects can be measured.

        Raises BundleError, EngineError or MissingDependencyError when it can't be loaded, UsageError for a bad option.
        """
        opened = bundle if isinstance(bundle, Bundle) else open_bundle(Path(bundle))
        self._again: tuple[Any, ...] | None = (opened.path, engine, threads, score, instances)
        manifest = opened.manifest
        # Before the engine loads, which may take seconds
        full = manifest.graphs.get(one_graph.FULL)
        _check_options(score, instances, manifest.postprocess, full)
        self._set(
            open_engine(opened, engine, threads=threads),
            manifest.preprocess,
            manifest.postprocess,
            manifest.classes,
            manifest.category_ids,
            score,
            instances,
            full,
        )
        phase("working on the images")  # until the engine notes more: the graph loaded last isn't to blame any more

    @classmethod
    def over(
        cls,
        engine: Engine,
        preprocess: PreprocessSpec,
        postprocess: PostprocessSpec,
        *,
        classes: tuple[str, ...] = (),
        category_ids: tuple[int, ...] = (),
        score: float | None = None,
        instances: int | None = None,
        full: GraphSpec | None = None,
    ) -> Segmenter:
        """A segmenter over an engine that isn't from a bundle, such as a model in training.

        ``full`` is the one graph that does everything, where there is such (:mod:`edge_seg.runtime.one_graph`).
        """
        _check_options(score, instances, postprocess, full)
        segmenter = cls.__new__(cls)
        segmenter._again = None
        segmenter._set(engine, preprocess, postprocess, classes, category_ids, score, instances, full)
        return segmenter

    def _set(
        self,
        engine: Engine,
        preprocess: PreprocessSpec,
        postprocess: PostprocessSpec,
        classes: tuple[str, ...],
        category_ids: tuple[int, ...],
        score: float | None,
        instances: int | None,
        full: GraphSpec | None,
    ) -> None:
        self.engine = engine
        self._turns = turns_at(engine)
        self.preprocess = preprocess
        self.postprocess = postprocess
        self.classes = classes
        self.category_ids = category_ids
        self.score = score
        self.instances = instances
        self.full = full

    @property
    def engine(self) -> Engine:
        """What runs the graphs."""
        return self._engine

    @engine.setter
    def engine(self, engine: Engine) -> None:
        self._engine = engine
        # Asking a protocol takes 20 µs: once, not at every image.
        self._whole = engine if isinstance(engine, ImageEngine) else None
        self.inner_ns: dict[str, int] = engine.inner_ns if isinstance(engine, PyramidEngine) else {}
        """The parts of `detect` and `mask` of the last image, ns, where the runtime does what is between graphs."""

    # A str is a sequence of str as well; the first form counts.
    @overload
    def __call__(self, image: ImageLike) -> Instances: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, image: Sequence[ImageLike]) -> list[Instances]: ...

    def __call__(self, image: ImageLike | Sequence[ImageLike]) -> Instances | list[Instances]:
        """The instances in an image: a file, an array uint8[H, W, 3] in BGR order, or an image of Pillow.

        Of a list of these, a list. Raises ImageError for an image that can't be read, EngineError where the engine
        fails.
        """
        if isinstance(image, Sequence) and not isinstance(image, str):
            return [self.timed(one)[0] for one in image]
        return self.timed(image)[0]

    def timed(self, image: ImageLike) -> tuple[Instances, dict[str, int]]:
        """The instances, and the nanoseconds of each stage.

        Stages: ``pre`` (resize, normalise), ``detect`` (the graph), ``nms``, ``mask`` (the graph; 0 objects skip it),
        ``post`` (boxes to the image, mask pasting, run-length coding). Reading the file is outside them all. Where
        one graph does everything, that is ``detect``, and ``mask`` is 0.
        """
        return self._finish(self._infer(self._prepare(load_image(image))))

    def stream(self, source: SourceLike) -> Generator[Frame, None, None]:
        """The frames of ``source`` and what is in them, one by one.

        ``source`` is a folder (its images by name), a video file, a camera (0, "camera:0", "/dev/video0"), an address
        such as "rtsp://…", an image file, or a list or other iterable of what the Segmenter takes. Reading, the model
        and post-processing of neighbouring frames overlap in three threads, and a few frames wait between them. Of a
        camera, frames that come while the model is busy are passed over.

        Closing the generator, or leaving the loop, ends the threads once each has finished its frame. Raises ImageError
        and UsageError at once for a source that can't be opened, later for an image that can't be read, at its place;
        EngineError where the engine fails.
        """
        from edge_seg.runtime.sources import open_source

        return self._stream(open_source(source))

    def _stream(self, source: Source) -> Generator[Frame, None, None]:
        from edge_seg.runtime.pipeline import overlapped

        def prepare(raw: RawFrame) -> tuple[RawFrame, _Prepared]:
            return raw, self._prepare(raw.image)

        def infer(one: tuple[RawFrame, _Prepared]) -> tuple[RawFrame, _Inferred]:
            raw, prepared = one
            phase(f"working on {raw.name}" + ("" if raw.time_s is None else f", frame {raw.number}"))
            return raw, self._infer(prepared)

        def finish(one: tuple[RawFrame, _Inferred]) -> Frame:
            raw, inferred = one
            found, ns = self._finish(inferred)
            return Frame(raw.number, raw.name, raw.image, found, raw.time_s, ns)

        try:
            yield from overlapped(source.frames(), (prepare, infer, finish), newest=source.live)
        finally:
            source.close()

    def _prepare(self, image: NDArray[np.uint8]) -> _Prepared:
        if self._whole is not None:
            return _Prepared(image, None, None, 0)
        begin = perf_counter_ns()
        blob, geometry = preprocess(image, self.preprocess)
        return _Prepared(image, blob, geometry, perf_counter_ns() - begin)

    def _infer(self, prepared: _Prepared) -> _Inferred:
        """The part that only one thread at a time may do."""
        if prepared.blob is None or prepared.geometry is None:
            assert self._whole is not None
            with self._turns:
                found, ns = self._whole.segment(prepared.image, self.score, self.instances)
            found = replace(found, names=self.classes, category_ids=self.category_ids)
            return _Inferred(None, None, None, found, ns)
        # The graphs of one image belong together: what lies between them is kept from the first to the second.
        with self._turns:
            ready = perf_counter_ns()
            kept, probabilities, (detected, selected, masked) = self._run(prepared.blob, prepared.geometry)
        times = {"pre": prepared.ns, "detect": detected - ready, "nms": selected - detected, "mask": masked - selected}
        return _Inferred(prepared.geometry, kept, probabilities, None, times)

    def _finish(self, inferred: _Inferred) -> tuple[Instances, dict[str, int]]:
        geometry, kept, probabilities, found, ns = inferred
        if found is not None:
            return found, ns
        assert geometry is not None
        assert kept is not None
        assert probabilities is not None
        begin = perf_counter_ns()
        whole, clipped = to_image(kept.boxes, geometry)
        rles = paste(probabilities, whole, geometry.height, geometry.width, self.postprocess.mask_threshold)
        labels = (self.classes, self.category_ids)
        found = Instances(geometry.height, geometry.width, clipped, kept.scores, kept.classes, rles, *labels)
        return found, {**ns, "post": perf_counter_ns() - begin}

    def _run(
        self, blob: NDArray[np.float32], geometry: Geometry
    ) -> tuple[Detections, NDArray[np.float32], tuple[int, int, int]]:
        """The graphs and what lies between them: instances, their masks, and when `detect`, NMS and `mask` ended."""
        outputs = self._detect(blob, geometry)
        detected = perf_counter_ns()
        extent = (geometry.scaled_height, geometry.scaled_width)
        if self.full:
            classes = len(self.classes)
            kept, probabilities = one_graph.select(outputs, classes, self.postprocess, extent, self.score)
            selected = perf_counter_ns()
            return kept, probabilities, (detected, selected, selected)
        kept = select(
            outputs["boxes"],
            outputs["scores"],
            self.postprocess,
            extent=extent,
            score_threshold=self.score,
            instances=self.instances,
        )
        selected = perf_counter_ns()
        probabilities = self._masks(outputs, kept)
        return kept, probabilities, (detected, selected, perf_counter_ns())

    def _detect(self, blob: NDArray[np.float32], geometry: Geometry) -> dict[str, NDArray[Any]]:
        if self.full:
            return self.engine.run(one_graph.FULL, one_graph.inputs_of(self.full, blob, geometry))
        return self.engine.run("detect", {"image": blob})

    def _masks(self, outputs: dict[str, NDArray[Any]], kept: Detections) -> NDArray[np.float32]:
        count = len(kept)
        if count == 0:  # every library tested aborts on zero boxes
            return np.zeros((0, 1, 1), np.float32)
        classes = outputs["scores"].shape[1] - 1
        inputs = {name: outputs[name] for name in FEATURES}
        inputs["boxes"] = np.ascontiguousarray(kept.boxes)
        inputs["num"] = np.array([count], np.int32)
        inputs["channel"] = (np.arange(count) * classes + kept.classes).astype(np.int32)
        masks = self.engine.run("mask", inputs)["masks"]
        if masks.shape[0] != count:
            raise EngineError(
                f"{self.engine.name}: {counted(masks.shape[0], 'mask')} for {counted(count, 'box')}",
                code="engine-output",
            )
        return masks

    def close(self) -> None:
        """Gives the engine's memory back; the segmenter can't be used after it."""
        if self._turns.close():
            self.engine.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it was loaded from, and loaded anew: for multiprocessing's ``spawn``."""
        if self._again is None:
            raise EngineError("a Segmenter over an engine of its own can't be handed to another process")
        return _load_again, self._again

    def __enter__(self) -> Segmenter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _load_again(
    bundle: Path, engine: str | None, threads: int, score: float | None, instances: int | None
) -> Segmenter:
    return Segmenter(bundle, engine=engine, threads=threads, score=score, instances=instances)


def _check_options(
    score: float | None, instances: int | None, postprocess: PostprocessSpec, full: GraphSpec | None
) -> None:
    keep = postprocess.keep
    if not 0 < postprocess.mask_threshold < 1:
        raise BundleError(
            f"mask_threshold: {postprocess.mask_threshold} is not between 0 and 1", code="manifest-invalid"
        )
    if score is not None and not 0 <= score <= 1:
        raise UsageError(f"score: {score} is not between 0 and 1")
    if instances is not None and full is not None:
        raise UsageError(
            "instances: in a bundle of one graph, the graph itself decides how many objects there are",
            remedy="leave it out, and measure with images that hold as many",
        )
    if instances is not None and not 0 <= instances <= keep:
        raise UsageError(
            f"instances: {instances} is not between 0 and {keep}, the most this model keeps",
            remedy="convert with a larger --keep",
        )

"""Several processes that train one model: what they tell each other.

Each process computes its own images of a batch. Gradients are averaged by hand, after ``backward`` and before the
optimiser's step, rather than by ``paddle.DataParallel``: the losses are divided by what all processes drew
(:meth:`Processes.weights`), steps may accumulate batches, and a head that saw no object in one process has no gradient
there; DataParallel averages the processes' own means and needs special cases for both others. The price is that sending
doesn't overlap with computing.

Process 0 leads: it prepares the run, evaluates and writes; the others follow what it shares with them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_seg.errors import EdgeSegError
from edge_seg.paddle_env import paddle
from edge_seg.plain import from_plain

T = TypeVar("T")
MEETING_S = 120.0
"""How long the leader waits for the others."""


def size_here() -> int:
    """How many of the processes that ``paddle.distributed.launch`` started share this machine; 1 without it."""
    return int(os.environ.get("PADDLE_LOCAL_SIZE") or 1)


def join() -> Processes:
    """Meets the other processes that ``paddle.distributed.launch`` started; one alone without it.

    The device must have been set. Raises :class:`EdgeSegError` when the others aren't met.
    """
    size = int(os.environ.get("PADDLE_TRAINERS_NUM") or 1)
    if size == 1:
        return Processes(0, 1)
    rank = int(os.environ["PADDLE_TRAINER_ID"])
    if paddle.device.get_device() == "cpu":
        # Otherwise a paddle that was built for GPUs asks for one.
        os.environ["PADDLE_DISTRI_BACKEND"] = "gloo"
    with _together(rank, size):
        paddle.distributed.init_parallel_env()
    return Processes(rank, size)


class Processes:
    """``size`` processes, of which this is number ``rank``. All must call the same methods in the same order."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self._meetings = 0

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def meet(self) -> None:
        """Waits until all processes are here: gloo gives up after 30 s, while the leader may evaluate for minutes."""
        if self.size == 1:
            return
        self._meetings += 1
        place, until = f"edge-seg/{self._meetings}", time.monotonic() + MEETING_S
        with _together(self.rank, self.size):
            store = paddle.base.core.create_or_get_global_tcp_store()
            store.add(place, 1)
            while store.add(place, 0) < self.size:
                # The store is the leader's: when that has gone, the others' asking fails.
                if self.leads and time.monotonic() > until:
                    raise OSError(f"only {store.add(place, 0)} came within {MEETING_S:g} s")
                time.sleep(0.02)

    def mean(self, values: Iterable[float]) -> list[float]:
        """The mean over the processes of each value."""
        values = list(values)
        if self.size == 1:
            return values
        total = paddle.to_tensor(np.asarray(values, np.float64))
        self._sum(total)
        return [float(value) / self.size for value in total.numpy()]

    def weights(self, counts: Iterable[int]) -> list[float]:
        """By what this process's mean over each count is multiplied, so that the processes' mean is that over all.

        1 for one process; where nobody counted anything, 1 too.
        """
        counts = list(counts)
        return [count / mean if mean else 1.0 for count, mean in zip(counts, self.mean(counts), strict=True)]

    def average_gradients(self, parameters: Iterable[Any]) -> None:
        """Replaces each parameter's gradient by its mean over the processes; none where no process has one."""
        if self.size == 1:
            return
        parameters = list(parameters)
        there = paddle.to_tensor([float(p.grad is not None) for p in parameters])
        flat = paddle.concat(
            [(paddle.zeros(p.shape, p.dtype) if p.grad is None else p.grad).reshape([-1]) for p in parameters] + [there]
        )
        self._sum(flat)
        *means, there = paddle.split(flat / self.size, [*(p.size for p in parameters), len(parameters)])
        for parameter, mean, share in zip(parameters, means, there.numpy(), strict=True):
            if share > 0:
                parameter.grad = mean.reshape(parameter.shape)

    def mean_of(self, value: Any) -> Any:
        """The mean over the processes of a tensor that each has, float32 of one shape; gradients flow through it."""
        return _Mean.apply(value, self)

    def share(self, value: T) -> T:
        """Of the leader, to which it returns ``value``, a dataclass of plain values: hands it to the others."""
        if self.size > 1:
            self.meet()
            text = json.dumps(dataclasses.asdict(value))  # type: ignore[call-overload]
            data = np.frombuffer(text.encode(), np.uint8)
            self._from_leader(np.array([len(data)], np.int64))
            self._from_leader(data)
        return value

    def receive(self, kind: type[T]) -> T:
        """Of the others: what the leader gave to :meth:`share`."""
        self.meet()
        length = int(self._from_leader(np.zeros(1, np.int64))[0])
        plain = json.loads(bytes(self._from_leader(np.zeros(length, np.uint8))))
        return from_plain(kind, plain, f"process {self.rank}", EdgeSegError)

    def share_arrays(self, arrays: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """The leader's arrays by name; every process has arrays of the same names, shapes and types."""
        own = {name: np.asarray(value) for name, value in arrays.items()}
        if self.size == 1:
            return own
        return {name: self._from_leader(value.reshape(-1)).reshape(value.shape) for name, value in own.items()}

    def _from_leader(self, value: NDArray[Any]) -> NDArray[Any]:
        tensor = paddle.to_tensor(value)
        with _together(self.rank, self.size):
            paddle.distributed.broadcast(tensor, src=0)
        return np.asarray(tensor.numpy())

    def _sum(self, tensor: Any) -> None:
        """Adds up over the processes, in place."""
        with _together(self.rank, self.size):
            paddle.distributed.all_reduce(tensor)


class _Mean(paddle.autograd.PyLayer):
    """The mean over the processes, forward and back: their losses are averaged, so their gradients are too."""

    @staticmethod
    def forward(context: Any, value: Any, processes: Processes) -> Any:
        context.processes = processes
        total = value.detach().clone()
        processes._sum(total)
        return total / processes.size

    @staticmethod
    def backward(context: Any, gradient: Any) -> Any:
        total = gradient.detach().clone()
        context.processes._sum(total)
        return total / context.processes.size


@contextlib.contextmanager
def _together(rank: int, size: int) -> Iterator[None]:
    """Says what it means when another process can't be reached."""
    try:
        yield
    except (RuntimeError, SystemError, OSError, ValueError) as problem:
        words = " ".join(str(problem).split())
        raise EdgeSegError(
            f"process {rank} of {size}: another process of this training was lost or can't be reached: {words[-300:]}",
            remedy="its own log says why it ended; the same command with --resume goes on from the last checkpoint",
            code="worker-lost",
        ) from None

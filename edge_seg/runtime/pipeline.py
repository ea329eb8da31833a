"""Three stages of work on one thing after the other, each in a thread of its own, so that they overlap.

Python's threads suffice: OpenCV, numpy's large operations and the inference libraries let others work meanwhile.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
T = TypeVar("T")

_WAITING = 2
"""Things between two stages: one more than needed evens out stages that take longer now and then."""


class Channel(Generic[T]):
    """A queue of at most ``size`` things from one thread to another; its end, or an error, comes after them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False
        self._error: BaseException | None = None

    def put(self, item: T, *, newest: bool = False) -> bool:
        """Waits for room, or, with ``newest``, takes the place of the oldest. False once the channel is closed."""
        with self._changed:
            if newest and len(self._waiting) >= self._size:
                self._waiting.popleft()
            self._changed.wait_for(lambda: self._closed or len(self._waiting) < self._size)
            if self._closed:
                return False
            self._waiting.append(item)
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more comes; whoever reads gets ``error`` raised at that place."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody reads any more: what waits is dropped, and whoever puts is told."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended or self._closed)
                if self._closed or not self._waiting:
                    break
                item = self._waiting.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None and not self._closed:
            raise self._error


def overlapped(
    items: Iterable[A],
    stages: tuple[Callable[[A], B], Callable[[B], C], Callable[[C], D]],
    *,
    newest: bool = False,
) -> Generator[D, None, None]:
    """What the three ``stages`` make of each item, in order. The first thread also takes the items from ``items``.

    With ``newest`` an item that waits for the second stage gives way to a newer one: for cameras, where an old image is
    of no use. What a stage raises is raised here, after everything before it. When the generator ends or is closed, its
    threads have ended, once each has finished what it was at.
    """
    prepared: Channel[B] = Channel(1 if newest else _WAITING)
    worked: Channel[C] = Channel(_WAITING)
    finished: Channel[D] = Channel(_WAITING)
    channels: tuple[Channel[Any], ...] = (prepared, worked, finished)
    threads = [
        threading.Thread(target=_work, args=arguments, name=f"edge-seg-{name}", daemon=True)
        for name, arguments in (
            ("read", (items, stages[0], prepared, newest)),
            ("model", (prepared, stages[1], worked, False)),
            ("finish", (worked, stages[2], finished, False)),
        )
    ]
    try:
        for thread in threads:
            thread.start()
        yield from finished
    finally:
        for channel in channels:
            channel.close()
        for thread in threads:
            # A generator that nobody holds any more may be closed in any thread, these included.
            if thread is not threading.current_thread():
                thread.join()


def _work(items: Iterable[Any], work: Callable[[Any], Any], out: Channel[Any], newest: bool) -> None:
    try:
        for item in items:
            if not out.put(work(item), newest=newest):
                return
    except BaseException as problem:
        out.end(problem)
    else:
        out.end()

"""Several targets measured at the same time, each in a thread of its own; one that is lost costs only its own."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Failure, Keeper, Measured, Settings, measure_kept
from edge_seg.errors import EdgeSegError
from edge_seg.explain import explain
from edge_seg.process.running import stop_event
from edge_seg.targets import Target
from edge_seg.targets.named import NamedBoard, open_board

STOPPING_S = 20.0
"""How long the threads get to end their commands and hand over what they have, once the program is to end."""

Take = Callable[[NamedBoard, Measured | Failure], None]


@dataclass(frozen=True)
class Plan:
    """What is measured where. ``keeper`` is told each sample, ``progress`` the board's name and what it does."""

    boards: Sequence[NamedBoard]
    bundles: Sequence[Path]
    settings: Settings
    keeper: Keeper
    progress: Callable[[str, str], None]
    runner: tuple[str, ...] = ()
    open_: Callable[[NamedBoard, Sequence[str]], Target] = open_board


def measure_streams(plan: Plan, take: Take) -> None:
    """Hands the results of all boards to ``take``, in this thread, each as soon as it is there.

    When this thread is interrupted, the boards' commands are ended, what they had measured is handed over too, and then
    the interruption goes on.
    """
    results: queue.Queue[tuple[NamedBoard, Measured | Failure | None]] = queue.Queue()
    stop = threading.Event()
    threads = [
        threading.Thread(target=_stream, args=(plan, board, results.put, stop), daemon=True) for board in plan.boards
    ]
    for thread in threads:
        thread.start()
    running = len(threads)

    def take_next(limit: float) -> None:
        nonlocal running
        board, result = results.get(timeout=limit)
        if result is None:
            running -= 1
        else:
            take(board, result)

    try:
        while running:
            try:
                take_next(0.5)  # a wait without end couldn't be interrupted
            except queue.Empty:
                continue
    except BaseException:
        stop.set()
        deadline = time.monotonic() + STOPPING_S
        while running and (left := deadline - time.monotonic()) > 0:
            try:
                take_next(left)
            except queue.Empty:
                break
        raise


def _stream(
    plan: Plan,
    board: NamedBoard,
    put: Callable[[tuple[NamedBoard, Measured | Failure | None]], None],
    stop: threading.Event,
) -> None:
    stop_event.set(stop)
    name = board.name if board.name != board.target else None
    try:
        with plan.open_(board, plan.runner) as target:
            progress = _progress(plan, board)
            for result in measure_kept(target, plan.bundles, plan.settings, progress, plan.keeper, name):
                put((board, result))
                if stop.is_set():
                    break
    except EdgeSegError as error:
        put((board, Failure(Path(), board.name, error)))
    except Exception as problem:  # one board's bug isn't the others'
        put((board, Failure(Path(), board.name, explain(problem)[1])))
    finally:
        put((board, None))


def _progress(plan: Plan, board: NamedBoard) -> Callable[[str], None]:
    return lambda text: plan.progress(board.name, text)

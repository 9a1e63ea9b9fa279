"""A few threads that work off a list, can be asked to stop, and never leave anything half done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

__all__ = ["run_all"]

T = TypeVar("T")
#: How often the calling thread looks up while all threads are busy; Ctrl-C reaches it only then.
_LOOK_UP_SECONDS = 0.2


def run_all(work: Sequence[Callable[[], T]], done: Callable[[T], None], *, jobs: int, stop: threading.Event) -> list[T]:
    """Work off a list in order, several pieces at once.

    Parameters
    ----------
    work
        What to do; errors are the caller's to catch.
    done
        Called with each result as it comes, from the calling thread.
    jobs
        How many pieces are under way at once.
    stop
        Once set, nothing further is begun; set by an error or Ctrl-C, which is raised again when what is
        under way is finished.

    Returns
    -------
    Results in the order they came; fewer than the work if it was stopped.
    """
    results: list[T] = []
    pending: set[Future[T]] = set()
    queue = iter(work)
    with ThreadPoolExecutor(jobs) as threads:
        try:
            while True:
                while len(pending) < jobs and not stop.is_set() and (piece := next(queue, None)):
                    pending.add(threads.submit(piece))
                if not pending:
                    return results
                finished, pending = wait(pending, _LOOK_UP_SECONDS, FIRST_COMPLETED)
                for future in finished:
                    results.append(future.result())
                    done(results[-1])
        except BaseException:
            stop.set()
            raise

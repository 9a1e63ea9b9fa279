"""Acquisition: bring the vendor's flat files into the lake, exactly as they are, and keep them current.

List each data set's months, judge each session, fetch what is new or changed. A file that exists is not
thereby complete or unchanged: sizes, ETags and content decide.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raypipe.acquisition.classify import TO_FETCH, Item, LocalSide, ObjectState, Rules, classify
from raypipe.acquisition.fetch import Fetcher
from raypipe.acquisition.listing import Listing, save_month
from raypipe.acquisition.pool import run_all
from raypipe.acquisition.receipts import save_receipt
from raypipe.acquisition.remote import REFUSED, IngestParams, Remote, has_code, list_months
from raypipe.errors import RaypipeError, StorageError, UnavailableError, UsageError
from raypipe.sources.polygon_keys import DATASETS, Dataset, months_between, published_ns

if TYPE_CHECKING:
    from raypipe.lake.objects import ObjectStore

__all__ = ["IngestParams", "IngestReport", "ObjectState", "ingest", "plan_ingest"]

_MINUTE_NS = 60 * 1_000_000_000
_FAILED = frozenset({"failed", "forbidden"})
#: So many objects one after the other that the endpoint did not answer for, and it is left alone.
GIVE_UP_AFTER = 8


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of every file of a range.

    Attributes
    ----------
    objects
        By data set and date.
    waited
        Whether files that were not there were waited for.
    interrupted
        Whether the run was stopped before its end; `objects` then holds what was done.
    unavailable
        Whether the endpoint answered for none of the objects that were tried.
    """

    objects: tuple[ObjectState, ...]
    waited: bool = False
    interrupted: bool = False
    unavailable: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """Objects per state."""
        return dict(Counter(each.state for each in self.objects))

    @property
    def fetched(self) -> tuple[ObjectState, ...]:
        """The objects that are in the lake now and were not before."""
        return tuple(each for each in self.objects if each.state in TO_FETCH)

    @property
    def exit_code(self) -> int:
        """0; 1 if any object failed, was refused, or did not come while it was waited for; 5 without an endpoint."""
        if self.unavailable:
            return UnavailableError.exit_code
        bad = _FAILED | ({"not_yet"} if self.waited else set())
        return int(any(each.state in bad for each in self.objects))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        rows = [
            {**asdict(each), "dataset": each.dataset.name, "session": each.session.isoformat()} for each in self.objects
        ]
        return {"objects": rows, "counts": self.counts, "interrupted": self.interrupted}


def plan_ingest(
    lake: ObjectStore,
    params: IngestParams,
    *,
    start: dt.date,
    end: dt.date,
    datasets: Iterable[Dataset] = tuple(DATASETS.values()),
    now_ns: Callable[[], int],
    verify: bool = False,
) -> list[ObjectState]:
    """Say what `ingest` would do with each file. Nothing is fetched or written.

    Parameters
    ----------
    lake
        The store of the lake; raw files stand under ``raw/``.
    params
        Where to look.
    start, end
        Closed range of dates.
    datasets
        Which data sets; each is listed on its own.
    now_ns
        The clock, nanoseconds UTC.
    verify
        Whether to read and hash every stored file.

    Raises
    ------
    UsageError
        If ``start`` is after ``end``, or without credentials.
    StorageError
        If the endpoint cannot be listed.
    """
    run = _Ingest(lake, params, start, end, datasets, now_ns)
    return [item.state for item in run.judge(run.listed(start, end), run.rules(verify=verify), start, end)]


def ingest(
    lake: ObjectStore,
    params: IngestParams,
    *,
    start: dt.date | None = None,
    end: dt.date | None = None,
    datasets: Iterable[Dataset] = tuple(DATASETS.values()),
    now_ns: Callable[[], int],
    progress: Callable[[ObjectState], None] = lambda _state: None,
    wait_minutes: float = 0,
    verify: bool = False,
    from_dir: Path | None = None,
    stop: threading.Event | None = None,
    sleep: Callable[[float], object] | None = None,
) -> IngestReport:
    """Bring the files of a range of dates into the lake.

    Parameters
    ----------
    lake, params, start, end, datasets, now_ns, verify
        As in `plan_ingest`. With ``from_dir`` the range may be left open.
    progress
        Called with every object when it is done or judged, from the calling thread.
    wait_minutes
        How long to list again for files that are not there yet.
    from_dir
        Adopt the files of this folder; no endpoint is asked.
    stop
        Once set, no further object is begun; those under way are finished.
    sleep
        Pauses for so many seconds; a set ``stop`` ends a pause if left out.

    Raises
    ------
    UsageError
        If the range is missing or upside down, or without credentials.
    StorageError
        If the endpoint cannot be listed.
    KeyboardInterrupt
        As it came, once the objects under way are finished.
    """
    stop = stop or threading.Event()
    if from_dir is not None:
        from raypipe.acquisition.adopt import adopt_dir

        return adopt_dir(
            lake,
            from_dir,
            start=start,
            end=end,
            datasets=datasets,
            now_ns=now_ns,
            progress=progress,
            verify=verify,
            stop=stop,
            jobs=params.jobs,
        )
    if start is None or end is None:
        msg = "no range of dates"
        raise UsageError(msg, hint="give the first and the last date")
    run = _Ingest(lake, params, start, end, datasets, now_ns)
    run.progress, run.stop, run.sleep = progress, stop, sleep or stop.wait
    return run.to_the_end(wait_minutes, verify=verify)


class _Ingest:
    """One run over one range."""

    progress: Callable[[ObjectState], None]
    stop: threading.Event
    sleep: Callable[[float], object]

    def __init__(
        self,
        lake: ObjectStore,
        params: IngestParams,
        start: dt.date,
        end: dt.date,
        datasets: Iterable[Dataset],
        now_ns: Callable[[], int],
    ) -> None:
        if start > end:
            msg = f"the range starts on {start}, after its end {end}"
            raise UsageError(msg, hint="swap them")
        self.lake, self.params, self.start, self.end = lake, params, start, end
        self.datasets, self.now_ns = tuple(datasets), now_ns
        self.remote = Remote(params)

    def listed(self, start: dt.date, end: dt.date) -> Listing:
        """List the months of a range; months that have not begun have no files yet."""
        today = dt.datetime.fromtimestamp(self.now_ns() // 10**9, dt.UTC).date()
        last = min(end, today)
        months = months_between(start, last) if start <= last else []
        return list_months(self.remote, self.datasets, months, self.params.jobs)

    def save(self, listing: Listing) -> None:
        """Keep the listing for `check-missing`."""
        about = {"endpoint": self.params.endpoint_url, "bucket": self.params.bucket, "listed_ns": self.now_ns()}
        for data, month in sorted(listing.months or (), key=lambda place: (place[0].name, place[1])):
            objects = [
                each for (of, day), each in listing.objects.items() if of is data and (day.year, day.month) == month
            ]
            save_month(self.lake, data, month, objects, about)

    def judge(self, listing: Listing, rules: Rules, start: dt.date, end: dt.date) -> list[Item]:
        """Every file of a range against the listing."""
        sides = [LocalSide.read(self.lake, data, start, end) for data in self.datasets]
        return [item for side in sides for item in classify(side, listing, start, end, rules)]

    def rules(self, *, verify: bool, waiting: bool = False) -> Rules:
        """By what files are judged now."""
        return Rules(self.now_ns(), self.params.publish_time_et, self.params.endpoint_url, verify, waiting)

    def to_the_end(self, wait_minutes: float, *, verify: bool) -> IngestReport:
        """Fetch; then, if files are waited for, list again until they are there or the time is over."""
        deadline_ns = self.now_ns() + int(wait_minutes * _MINUTE_NS)
        act, states = _Act(self), dict[tuple[Dataset, dt.date], ObjectState]()
        first, last = self.start, self.end
        while True:
            listing = self.listed(first, last)
            self.save(listing)
            rules = self.rules(verify=verify, waiting=wait_minutes > 0)
            items = [item for item in self.judge(listing, rules, first, last) if _place(item.state) not in states]
            awaited = [item.state for item in items if self._awaited(item.state, deadline_ns)]
            for state in act.on([item for item in items if item.state not in awaited]):
                states[_place(state)] = state
            left_ns = deadline_ns - self.now_ns()
            if not awaited or left_ns <= 0 or self.stop.is_set():
                break
            first, last = min(each.session for each in awaited), max(each.session for each in awaited)
            self.sleep(min(self.params.poll_seconds, left_ns / 1e9))
        return self._report(states, awaited, act)

    def _report(
        self, states: dict[tuple[Dataset, dt.date], ObjectState], absent: list[ObjectState], act: _Act
    ) -> IngestReport:
        for state in absent:
            self.progress(state)
        return IngestReport(
            tuple(sorted([*states.values(), *absent], key=lambda each: (each.dataset.name, each.session))),
            waited=bool(absent),
            interrupted=self.stop.is_set(),
            unavailable=act.unanswered > 0 and not act.answered,
        )

    def _awaited(self, state: ObjectState, deadline_ns: int) -> bool:
        """Whether a file that is not there may come before the deadline."""
        return state.state == "not_yet" and published_ns(state.session, self.params.publish_time_et) <= deadline_ns


def _place(state: ObjectState) -> tuple[Dataset, dt.date]:
    return state.dataset, state.session


class _Act:
    """Acts on items, and notices when the endpoint no longer answers."""

    def __init__(self, run: _Ingest) -> None:
        self._run = run
        self._fetcher = Fetcher(run.remote, run.lake, attempts=run.params.attempts, now_ns=run.now_ns, sleep=run.sleep)
        self.answered, self.unanswered = 0, 0
        self._in_a_row = 0

    def on(self, items: Sequence[Item]) -> list[ObjectState]:
        """Do what the items ask for; results are reported as they come."""
        work = [partial(self._one, item) for item in items]
        return run_all(work, self._run.progress, jobs=self._run.params.jobs, stop=self._run.stop)

    def _one(self, item: Item) -> ObjectState:
        try:
            if item.receipt:
                save_receipt(self._run.lake, item.receipt)
            if item.state.state not in TO_FETCH or item.remote is None:
                return item.state
            if self._in_a_row >= GIVE_UP_AFTER:
                return replace(item.state, state="failed", reason="not tried: the endpoint does not answer")
            got = self._fetcher.fetch(item.remote)
        except RaypipeError as error:
            return self._failed(item, error)
        self.answered, self._in_a_row = self.answered + 1, 0
        return replace(item.state, bytes=got.size or 0)

    def _failed(self, item: Item, error: RaypipeError) -> ObjectState:
        from_remote = isinstance(error, StorageError) and error.values.get("store") == self._run.remote.uri
        refused = isinstance(error, StorageError) and has_code(error, REFUSED)
        if from_remote and not refused:
            self.unanswered, self._in_a_row = self.unanswered + 1, self._in_a_row + 1
        else:
            self.answered, self._in_a_row = self.answered + 1, 0
        reason = f"{error.message} ({error.hint})" if refused else str(error)
        return replace(item.state, state="forbidden" if refused else "failed", reason=reason)

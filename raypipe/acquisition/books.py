"""Adoption of order books and option prints: Databento and OPRA files, each read through, then kept as it is.

What a file holds is asked of the file. Its place in the lake says no more than that, and its name is its own.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from raypipe.acquisition.classify import ObjectState, State
from raypipe.acquisition.digest import Digest, digest, gzip_digest
from raypipe.acquisition.place import link_in, publish
from raypipe.acquisition.pool import run_all
from raypipe.acquisition.receipts import RAW, Receipt, known_sha256, receipt_of
from raypipe.errors import RaypipeError, SourceError
from raypipe.lake.names import check_key
from raypipe.sources.databento import RTYPES, RecordStream
from raypipe.sources.databento_bytes import WholeBytes
from raypipe.sources.polygon_keys import Dataset, find_key

if TYPE_CHECKING:
    from raypipe.lake.objects import ObjectStore

__all__ = ["BookAdoption", "BookFacts", "FoundBook", "adopt_books", "find_books"]

log = logging.getLogger(__name__)

_ES, _OPRA = "databento", "us_options_opra/trades_v1"
_KINDS = {
    "trades": Dataset("es_trades", _ES, "bronze/es_trades"),
    "mbp-10": Dataset("es_mbp10", _ES, "bronze/es_mbp10"),
    "options": Dataset("spy_options", _OPRA, "bronze/spy_option_trades"),
}
#: What explains the numbers of files beside it that do not name their instruments.
_BESIDE = Dataset("symbology", _ES, "bronze/es_trades")
_DBN, _TEXT, _SYMBOLS = (".dbn", ".dbn.zst"), ".csv.gz", "symbology.json"
_TIMES = frozenset({"sip_timestamp", "participant_timestamp"})
_DATE = re.compile(r"(20\d\d)-?(\d\d)-?(\d\d)")
_BLOCK = 1 << 20


class BookFacts(Protocol):
    """What a file says of itself."""

    @property
    def kind(self) -> str:
        """``trades``, ``mbp-10``, ``options``, or another schema."""

    @property
    def is_dbn(self) -> bool:
        """Whether it is DBN."""

    @property
    def dataset(self) -> str:
        """Of which data set of Databento."""

    @property
    def named(self) -> bool:
        """Whether it says what its instruments are."""

    def refused(self, kind: str) -> str:
        """Why it is no input of that kind; empty if it is one."""

    def sessions(self) -> list[dt.date]:
        """Sessions that it has records of."""


#: Name and opener of a file -> what it holds.
Probe = Callable[[str, Callable[[], BinaryIO]], BookFacts]


@dataclass(frozen=True, slots=True)
class FoundBook:
    """A file that is wanted.

    Attributes
    ----------
    path, data, session, key
        Where it is, what it is, its first session, and its key in the lake after ``raw/``.
    named
        Whether it says itself what its instruments are.
    bad
        Why it cannot be read.
    others
        Files that would have the same key.
    """

    path: Path
    data: Dataset
    session: dt.date
    key: str
    named: bool = True
    bad: str = ""
    others: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class BookAdoption:
    """How files are taken.

    Attributes
    ----------
    lake
        The store of the lake.
    now_ns
        The clock, nanoseconds UTC.
    dry_run
        Only say what would be done.
    progress, stop, jobs
        As in `raypipe.acquisition.acquire.ingest`.
    """

    lake: ObjectStore
    now_ns: Callable[[], int]
    dry_run: bool = False
    progress: Callable[[ObjectState], None] = lambda _state: None
    stop: threading.Event = field(default_factory=threading.Event)
    jobs: int = 4


def find_books(folder: Path, probe: Probe, start: dt.date | None = None, end: dt.date | None = None) -> list[FoundBook]:
    """The files of ES and of SPY options below a folder; others of the vendors are passed over with a warning.

    Parameters
    ----------
    folder
        Searched at any depth.
    probe
        Says what a file holds.
    start, end
        Closed range of sessions; None leaves it open.
    """
    found: dict[str, FoundBook] = {}
    for path in _walk(folder.resolve()):
        one = _judged(path, probe)
        if one is None or not _wanted(one, start, end):
            continue
        first = found.setdefault(one.key, one)
        if first is not one:
            found[one.key] = replace(first, others=(*first.others, path))
    return sorted(found.values(), key=lambda one: (one.data.name, one.session, one.key))


def _walk(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "_superseded" and not name.startswith("."))
        yield from (Path(where) / name for name in sorted(names) if name.endswith((*_DBN, _TEXT)))


def _wanted(one: FoundBook, start: dt.date | None, end: dt.date | None) -> bool:
    return bool(one.bad) or (start or one.session) <= one.session <= (end or one.session)


def _judged(path: Path, probe: Probe) -> FoundBook | None:
    """What a file is; None if it is none of ours."""
    if path.name.endswith(_TEXT) and not _holds_prints(path):
        return None
    try:
        facts = probe(str(path), partial(_opened, path))
        data, sessions = _KINDS.get(facts.kind), facts.sessions()
    except RaypipeError as error:
        data = _KINDS["options" if path.name.endswith(_TEXT) else "trades"]
        return FoundBook(path, data, _named_date(path.name), f"{data.prefix}/{path.name}", bad=str(error))
    if data is None or facts.refused(facts.kind):
        if facts.kind != "definition":
            log.warning(
                "%s is passed over: %s", path, facts.refused(facts.kind) or f"it holds {facts.kind or 'nothing'}"
            )
        return None
    return FoundBook(path, data, sessions[0], _key(path, facts, data, sessions[0]), facts.named)


def _named_date(name: str) -> dt.date:
    """The date in a name, for a report on a file that cannot tell its own; 1970 if there is none."""
    found = _DATE.search(name)
    try:
        return dt.date.fromisoformat("-".join(found.groups())) if found else dt.date(1970, 1, 1)
    except ValueError:
        return dt.date(1970, 1, 1)


def _opened(path: Path) -> BinaryIO:
    return path.open("rb", buffering=0)


def _holds_prints(path: Path) -> bool:
    """Whether a flat file is one of trades with their own times: bars have none."""
    import gzip

    if find_key(path.as_posix()):
        return False
    try:
        with gzip.open(path, "rt", encoding="utf-8") as text:
            header = text.readline(10_000)
    except (OSError, EOFError, UnicodeDecodeError):
        return _OPRA.partition("/")[0] in path.parts  # the check will say what is wrong
    return bool(_TIMES & {name.strip() for name in header.split(",")})


def _key(path: Path, facts: BookFacts, data: Dataset, session: dt.date) -> str:
    if not facts.is_dbn:
        return f"{data.prefix}/{session:%Y/%m}/{session.isoformat()}{_TEXT}"
    # What names the instruments of a file lies beside it, so such files stay together.
    folder = facts.kind if facts.named else path.parent.name
    return f"{data.prefix}/{facts.dataset}/{folder}/{path.name}"


# --- taking -------------------------------------------------------------------------------------------


def adopt_books(found: Sequence[FoundBook], how: BookAdoption) -> tuple[ObjectState, ...]:
    """Read files through, and take those that are whole into the lake with a receipt.

    Parameters
    ----------
    found
        The files, from `find_books`.
    how
        The lake, and how.

    Returns
    -------
    A state per file, in order of data set and first session; files beside them that name their instruments too.
    """
    beside = {path: one for one in found if not one.bad for path in _beside(one)}
    named = [
        FoundBook(path, _BESIDE, one.session, f"{one.key.rpartition('/')[0]}/{path.name}")
        for path, one in beside.items()
    ]
    work = [partial(_one, one, how) for one in (*found, *named)]
    states = run_all(work, how.progress, jobs=how.jobs, stop=how.stop)
    return tuple(sorted(states, key=lambda state: (state.dataset.name, state.session, state.key)))


def _beside(one: FoundBook) -> list[Path]:
    """Files that name the instruments of one that does not."""
    if one.named:
        return []
    near = sorted(path for path in one.path.parent.iterdir() if path.is_file())
    return [path for path in near if path.name == _SYMBOLS or (path.name.endswith(_DBN) and "definition" in path.name)]


def _one(file: FoundBook, how: BookAdoption) -> ObjectState:
    size = 0
    try:
        if file.bad:
            return ObjectState(file.data, file.session, "failed", file.bad, 0, file.key)
        size = file.path.stat().st_size
        state, reason = _take(file, how)
    except (RaypipeError, OSError) as error:
        state, reason = "failed", str(error)
    return ObjectState(file.data, file.session, state, reason, size, file.key)


def _take(file: FoundBook, how: BookAdoption) -> tuple[State, str]:
    key = check_key(RAW + file.key)
    content = _checked(file.path)
    for other in file.others:
        if _checked(other).sha256 != content.sha256:
            msg = f"another file of that name or session differs: {other}"
            raise SourceError(msg, hint="keep one of them, or build from each with --source", file=str(file.path))
    stat = how.lake.stat(key)
    if stat and known_sha256(how.lake, stat, receipt_of(how.lake, key), save=not how.dry_run) == content.sha256:
        return "current", ""
    if not how.dry_run:
        fresh = Receipt(key, "", "", content.size, "", content.sha256)
        publish(how.lake, fresh, partial(link_in, how.lake, file.path), how.now_ns())
    return ("changed", "another content than the file in the lake") if stat else ("new", "")


def _checked(path: Path) -> Digest:
    """The hashes of a file that is whole.

    Raises
    ------
    SourceError
        If it is cut short or damaged, with the byte.
    """
    with path.open("rb") as stream:
        if path.name.endswith(_TEXT):
            return gzip_digest(stream, str(path))
        content = digest(stream)
    if path.name.endswith(_DBN):
        with path.open("rb", buffering=0) as raw:
            _read_through(raw, str(path))
    return content


def _read_through(raw: BinaryIO, name: str) -> None:
    stream = RecordStream(raw, name)
    if stream.header.schema in RTYPES:
        for _ in stream.chunks():
            pass
        return
    raw.seek(0)
    whole, buffer = WholeBytes(raw, name), memoryview(bytearray(_BLOCK))
    while whole.readinto(buffer) == len(buffer):
        pass
    whole.finish()

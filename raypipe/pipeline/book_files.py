"""Raw files of books and option prints: which there are, which sessions they hold, and the hash of each.

They lie in the lake's ``raw/``, or anywhere on disk where ``signals.sources`` says, and are read in place. What a file
holds is asked of the file, never of its name. What was learnt of it is noted under ``raw/notes/`` by whoever built from
it, so planning hundreds of sessions reads notes, not files.
"""

from __future__ import annotations

import datetime as dt
import glob
import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

from raypipe.acquisition.receipts import RECEIPT, RawFile
from raypipe.errors import RaypipeError, StorageError, UsageError
from raypipe.lake.objects import ObjectStore
from raypipe.pipeline.book_probe import Facts, probe
from raypipe.schema.signals import SourceParams
from raypipe.sources.databento_symbols import Symbology, read_definitions, read_symbology

__all__ = ["BOOK_RAW", "BookFile", "BookFiles", "Feed"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Feed:
    """Where the files of one raw input are looked for.

    Attributes
    ----------
    source
        Name of the parameter in ``signals.sources``.
    folder
        Folder in the lake.
    kind
        Schema of the records wanted: ``trades``, ``mbp-10``, ``options``.
    full_bytes
        Size of a large session's file: what costs are scaled by.
    """

    source: str
    folder: str
    kind: str
    full_bytes: int


#: Raw inputs by the name that stages read them under.
BOOK_RAW = {
    "raw/es_trades": Feed("es_trades", "raw/databento/", "trades", 20_000_000),
    "raw/es_mbp10": Feed("es_mbp10", "raw/databento/", "mbp-10", 300_000_000),
    "raw/spy_options": Feed("spy_options", "raw/us_options_opra/", "options", 12_000_000),
}
_NOTES = "raw/notes/"
_SUFFIXES = {"options": (".csv.gz", ".parquet"), "es": (".dbn", ".dbn.zst", ".parquet")}
_BLOCK = 1 << 20
_SIBLINGS = frozenset({"trades", "mbp-10", "definition"})


@dataclass(frozen=True, slots=True)
class BookFile:
    """One raw file.

    Attributes
    ----------
    name
        Its key in the lake, or its path.
    store
        The lake that it lies in; empty if none.
    size, stamp
        Bytes, and what changes when it does.
    """

    name: str
    store: str
    size: int
    stamp: str


@dataclass(frozen=True, slots=True)
class _Note:
    """What is remembered of a file, as long as size and stamp are the same."""

    name: str
    size: int
    stamp: str
    digest: str
    facts: Mapping[str, Any] = field(default_factory=dict)


_probed: dict[BookFile, Facts | str] = {}
_hashed: dict[BookFile, str] = {}


class BookFiles:
    """The raw files of books and prints. Changes nothing unless told to `remember`.

    Parameters
    ----------
    store
        The lake's.
    sources
        Where else files are.
    """

    def __init__(self, store: ObjectStore, sources: SourceParams | None = None) -> None:
        self._store, self._sources = store, sources or SourceParams()
        self._listed: dict[str, list[BookFile]] = {}
        self._sessions: dict[str, dict[str, list[BookFile]]] = {}

    # --- what a plan asks -----------------------------------------------------------------------

    def partitions(self, raw: str) -> list[str]:
        """Sessions of which a raw input has records, or may have."""
        return sorted(self._by_session(raw))

    def get(self, raw: str, partition: str) -> RawFile | None:
        """The files of a session as one input, with the fingerprint of their contents; None if there are none."""
        files = self.files(raw, partition)
        if not files:
            return None
        digests = [self.digest(file) for file in files]
        date = dt.date.fromisoformat(partition)
        whole = self.fingerprint(files, digests)
        return RawFile(None, date, files[0].name, sum(file.size for file in files), whole, "")

    def weight(self, raw: str) -> float:
        """Size of its files per session, against those of a large one."""
        sessions = self._by_session(raw)
        sizes = {file: file.size for files in sessions.values() for file in files}
        return min(max(sum(sizes.values()) / max(len(sessions), 1) / BOOK_RAW[raw].full_bytes, 0.1), 2.0)

    def files(self, raw: str, partition: str) -> list[BookFile]:
        """The files that hold records of a session, by name."""
        return self._by_session(raw).get(partition, [])

    def skipped(self, raw: str, partition: str | None = None) -> dict[str, str]:
        """Files that are passed over, and why; those of one session, if it can be told."""
        date = None if partition is None else dt.date.fromisoformat(partition)
        found = {}
        for file in self._list(raw):
            facts = self._facts(file)
            why = facts if isinstance(facts, str) else facts.refused(BOOK_RAW[raw].kind)
            # Trades, books and definitions lie in one folder: that is no news.
            quiet = isinstance(facts, Facts) and facts.kind in _SIBLINGS and not facts.refused(facts.kind)
            if why and not quiet and (date is None or isinstance(facts, str) or date in facts.sessions()):
                found[file.name] = why
        return found

    def fingerprint(self, files: Sequence[BookFile], digests: Sequence[str]) -> str:
        """32 hex digits over contents; names, places, order and repeated files do not count."""
        beside = {digest for file in files for digest in self._symbology(file)[1]}
        return hashlib.sha256("\n".join(sorted({*digests, *beside})).encode()).hexdigest()[:32]

    def _by_session(self, raw: str) -> dict[str, list[BookFile]]:
        if raw not in self._sessions:
            found: dict[str, list[BookFile]] = defaultdict(list)
            for file in self._list(raw):
                facts = self._facts(file)
                if isinstance(facts, Facts) and not facts.refused(BOOK_RAW[raw].kind):
                    for date in facts.sessions():
                        found[date.isoformat()].append(file)
            self._sessions[raw] = dict(found)
        return self._sessions[raw]

    # --- listings -------------------------------------------------------------------------------

    def _list(self, raw: str) -> list[BookFile]:
        if raw not in self._listed:
            feed = BOOK_RAW[raw]
            suffixes = _SUFFIXES["options" if feed.kind == "options" else "es"]
            given = getattr(self._sources, feed.source)
            listed = (
                _outside(given, f"signals.sources.{feed.source}", suffixes) if given else self._inside(feed, suffixes)
            )
            self._listed[raw] = sorted(listed, key=lambda file: file.name)
        return self._listed[raw]

    def _inside(self, feed: Feed, suffixes: tuple[str, ...]) -> Iterator[BookFile]:
        for stat in self._store.list(feed.folder):
            if stat.key.endswith(suffixes) and not stat.key.endswith(RECEIPT):
                yield BookFile(stat.key, self._store.uri, stat.size, stat.stamp)

    # --- one file -------------------------------------------------------------------------------

    def open(self, file: BookFile) -> BinaryIO:
        """Open a file for reading bytes, from the start.

        Raises
        ------
        StorageError
            If it is gone, or cannot be read.
        """
        if file.store:
            return cast("BinaryIO", self._store.open(file.name, whole=True))
        try:
            return Path(file.name).open("rb", buffering=0)
        except OSError as error:
            msg = f"cannot be read: {error.strerror}"
            raise StorageError(msg, hint="run again when it is there", key=file.name) from None

    def _facts(self, file: BookFile) -> Facts | str:
        """What a file holds, or why it cannot be told."""
        if file not in _probed:
            note = self._notes.get(file.name)
            _probed[file] = Facts(**note.facts) if note and _same(note, file) else self._probe(file)
        return _probed[file]

    def _probe(self, file: BookFile) -> Facts | str:
        try:
            return probe(file.name, lambda: self.open(file))
        except RaypipeError as error:
            log.warning("%s is passed over: %s", file.name, error.message)
            return error.message

    def digest(self, file: BookFile) -> str:
        """XXH3-128 of a file, from its note if that still holds."""
        if file not in _hashed:
            note = self._notes.get(file.name)
            _hashed[file] = note.digest if note and _same(note, file) else self._hash(file)
        return _hashed[file]

    def learnt(self, file: BookFile, digest: str | None) -> str:
        """Take the hash that a reader computed on the way, or compute it if it did not."""
        if digest is not None:
            _hashed[file] = digest
        return self.digest(file)

    def _hash(self, file: BookFile) -> str:
        import xxhash

        hasher = xxhash.xxh3_128()
        with self.open(file) as stream:
            while block := stream.read(_BLOCK):
                hasher.update(block)
        return str(hasher.hexdigest())

    def symbology(self, file: BookFile) -> Symbology:
        """What lies beside a file whose metadata do not name its instruments."""
        return self._symbology(file)[0]

    def _symbology(self, file: BookFile) -> tuple[Symbology, tuple[str, ...]]:
        facts = self._facts(file)
        if isinstance(facts, str) or facts.named or not facts.is_dbn:
            return Symbology(), ()
        folder = file.name.rpartition("/")[0]
        near = self._near(folder) if file.store else list(_folder(Path(folder or ".")))
        for other in sorted(near, key=lambda one: (not one.name.endswith("symbology.json"), one.name)):
            known = self._known_symbols(other)
            if known:
                return known, (self.digest(other),)
        return Symbology(), ()

    def _near(self, folder: str) -> list[BookFile]:
        stats = self._store.list(f"{folder}/")
        return [BookFile(s.key, self._store.uri, s.size, s.stamp) for s in stats if s.key.rpartition("/")[0] == folder]

    def _known_symbols(self, file: BookFile) -> Symbology:
        if file.name.endswith("/symbology.json"):
            with self.open(file) as stream:
                return read_symbology(stream.read(), file.name)
        if not file.name.endswith((".dbn", ".dbn.zst")):
            return Symbology()
        facts = self._facts(file)
        if isinstance(facts, str) or facts.kind != "definition":
            return Symbology()
        with self.open(file) as stream:
            return read_definitions(stream, file.name)

    # --- notes ----------------------------------------------------------------------------------

    def remember(self, file: BookFile, digest: str) -> None:
        """Note a hash that was computed on the way, so that no plan computes it again."""
        facts = self._facts(file)
        note = self._notes.get(file.name)
        if isinstance(facts, str) or (note and _same(note, file) and note.digest == digest):
            return
        new = _Note(file.name, file.size, file.stamp, digest, asdict(facts))
        self._store.put_bytes(_note_key(file.name), json.dumps(asdict(new), indent=1).encode())
        self._notes[file.name] = new
        _hashed[file] = digest

    @cached_property
    def _notes(self) -> dict[str, _Note]:
        found = {}
        for stat in self._store.list(_NOTES):
            note = _read_note(self._store.read(stat.key))
            if note is not None:
                found[note.name] = note
        return found


def _note_key(name: str) -> str:
    return f"{_NOTES}{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"


def _read_note(data: bytes) -> _Note | None:
    """A note; None if it is damaged or of another version, because the file can be asked again."""
    try:
        note = _Note(**json.loads(data))
        Facts(**note.facts)
    except (ValueError, TypeError):
        return None
    return note


def _same(note: _Note, file: BookFile) -> bool:
    return (note.size, note.stamp) == (file.size, file.stamp)


def _outside(given: str, key: str, suffixes: tuple[str, ...]) -> Iterator[BookFile]:
    """Files that a source names: paths, folders or globs, separated by commas."""
    for text in filter(None, (part.strip() for part in given.split(","))):
        path = Path(text).expanduser().absolute()
        if path.is_dir():
            found = [one for one in _folder(path, deep=True) if one.name.endswith(suffixes)]
        else:
            names = [str(path)] if path.is_file() else glob.glob(str(path), recursive=True)  # noqa: PTH207 - the pattern is absolute
            found = [_at(Path(name)) for name in names if Path(name).is_file()]
        if not found:
            msg = f"no file at {text}"
            raise UsageError(msg, hint=f"a file, a folder or a glob of {', '.join(suffixes)}", key=key)
        yield from found


def _folder(path: Path, *, deep: bool = False) -> Iterator[BookFile]:
    for one in path.rglob("*") if deep else path.glob("*"):
        if one.is_file() and not one.name.startswith("."):
            yield _at(one)


def _at(path: Path) -> BookFile:
    stat = path.stat()
    return BookFile(str(path), "", stat.st_size, str(stat.st_mtime_ns))

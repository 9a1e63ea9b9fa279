"""The journal of a study: what was asked, what came of it, and every out-of-fold prediction.

`journal.jsonl` has a header, a line per configuration and a final line; each carries the hash of the line before
(without its times), so an edit shows. Row i of `oof.f32` holds the predictions of configuration i. A study that is
killed goes on from here, and what is read from here is all that later steps know of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np

from raypipe.errors import DataQualityError, DeveloperError, UsageError
from raypipe.lake.location import Location
from raypipe.lake.names import symbol_to_file
from raypipe.pipeline.journal_files import JournalFiles, journal_files

__all__ = [
    "JOURNAL_SCHEMA",
    "POOLED",
    "ConfigResult",
    "Final",
    "Header",
    "Journal",
    "StudyRecord",
    "oof_row",
    "read_study",
    "study_key",
]

JOURNAL_SCHEMA = 1
#: Scope of a study over all symbols.
POOLED = "_pooled"
_TIMES = ("seconds", "cpu_s")
Values = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """What a study is. Two journals with equal headers, but for times, hold equal lines."""

    study: str
    algorithm: str
    scope: str
    target: str
    space: str
    seed: int
    n_configs: int
    fingerprint: str
    splits_sha256: str
    data_sha256: str
    features_sha256: str
    code_version: str
    libraries: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ConfigResult:
    """One configuration and what became of it.

    Attributes
    ----------
    i, source
        Its number, and who asked for it: ``default``, ``pooled_winner``, ``random``, ``tpe``.
    params
        Its hyper-parameters.
    fold_value, fold_rounds, fold_stop
        Per fold: score, boosting rounds and where they came from (``tail``, ``cap``, ``drawn``); None where the fold
        did not run or has no score.
    value
        Mean of the scored folds: the objective if complete, what was known of it if pruned.
    state, error
        ``complete``, ``pruned`` or ``failed``, and why it failed.
    seconds, cpu_s
        Wall and CPU time; they stay out of hashes.
    """

    i: int
    source: Literal["default", "pooled_winner", "random", "tpe"]
    params: Mapping[str, Any]
    fold_value: Values
    fold_rounds: tuple[int | None, ...]
    fold_stop: tuple[str | None, ...]
    value: float | None
    state: Literal["complete", "pruned", "failed"]
    error: str | None = None
    seconds: float = 0.0
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Final:
    """How a study ended; a study without a winner failed."""

    winner: int | None
    value: float | None
    n_complete: int
    n_pruned: int
    n_failed: int


def study_key(run_id: str, algorithm: str, scope: str) -> str:
    """The folder of a study in its lake.

    Examples
    --------
    >>> study_key("0123456789ab", "xgboost", "BRK.B")
    'runs/0123456789ab/studies/xgboost/BRK.B'
    """
    return f"runs/{run_id}/studies/{algorithm}/{scope if scope == POOLED else symbol_to_file(scope)}"


# --- lines -------------------------------------------------------------------------------------


def _line(kind: str, prev: str, record: Header | ConfigResult | Final) -> bytes:
    head = {"kind": kind, "prev": prev, **({"schema": JOURNAL_SCHEMA} if kind == "header" else {})}
    return _dumps({**head, **asdict(record)})


def _dumps(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":"), allow_nan=False).encode()


def _hash(line: bytes) -> str:
    """SHA-256 of a line without its times."""
    timeless = {name: value for name, value in json.loads(line).items() if name not in _TIMES}
    return hashlib.sha256(_dumps(timeless)).hexdigest()


@dataclass(frozen=True, slots=True)
class _Content:
    """The lines of a journal, read and checked."""

    header: Header | None
    configs: tuple[ConfigResult, ...]
    final: Final | None
    lines: int
    last_hash: str


def _read(lines: Sequence[bytes], uri: str) -> _Content:
    parsed = [_parse(line, n, uri) for n, line in enumerate(lines, 1)]
    hashes = ["", *map(_hash, lines)]
    broken = [n for n, raw in enumerate(parsed, 1) if raw["prev"] != hashes[n - 1]]
    if broken:
        # An edited line no longer has the hash that the next one carries; if its own `prev` was edited, two are off.
        first = broken[0]
        raise _edited(uri, first if first == 1 or first + 1 in broken else first - 1)
    header = Header(**_values(parsed[0], Header)) if parsed else None
    configs = tuple(ConfigResult(**_values(raw, ConfigResult)) for raw in parsed[1:] if raw["kind"] == "config")
    final = Final(**_values(parsed[-1], Final)) if parsed and parsed[-1]["kind"] == "final" else None
    for n, one in enumerate(configs):
        if one.i != n:
            raise _edited(uri, n + 2)
    if len(parsed) != (header is not None) + len(configs) + (final is not None):
        raise _edited(uri, len(parsed))
    return _Content(header, configs, final, len(lines), hashes[-1])


def _parse(line: bytes, n: int, uri: str) -> dict[str, Any]:
    kinds: dict[str, type[Any]] = {"header": Header, "config": ConfigResult, "final": Final}
    try:
        raw = json.loads(line)
        known = {"kind", "prev", *_names(kinds[raw["kind"]]), *(["schema"] if n == 1 else [])}
        good = set(raw) == known and (raw["kind"] == "header") is (n == 1) and _dumps(raw) == line
    except (ValueError, KeyError, TypeError):
        good = False
    if not good:
        raise _edited(uri, n)
    if raw.get("schema", JOURNAL_SCHEMA) != JOURNAL_SCHEMA:
        msg = f"the journal was written by another version of raypipe, schema {raw['schema']}"
        raise UsageError(msg, hint="use the version that made it, or start anew with --fresh", file=uri, field="schema")
    checked: dict[str, Any] = raw
    return checked


def _edited(uri: str, n: int) -> DataQualityError:
    msg = "the journal was changed after it was written"
    return DataQualityError(msg, hint="put the file back, or start anew with --fresh", file=uri, line=n)


def _values(raw: Mapping[str, Any], kind: type[Any]) -> dict[str, Any]:
    return {name: tuple(raw[name]) if isinstance(raw[name], list) else raw[name] for name in _names(kind)}


def _names(kind: type[Any]) -> list[str]:
    return [field.name for field in fields(kind)]


# --- writing -----------------------------------------------------------------------------------


class Journal:
    """A journal that is being written; see `Journal.open`."""

    def __init__(self, files: JournalFiles, header: Header, row_bytes: int) -> None:
        self.header = header
        self.configs: list[ConfigResult] = []
        self.final: Final | None = None
        self.warnings: list[str] = []
        self._files, self._row_bytes = files, row_bytes
        self._lines, self._hash = 0, ""

    @classmethod
    def open(cls, location: Location, key: str, header: Header, rows: int, *, wait: float = 0.0) -> Journal:
        """Open the journal of a study, or start it; what a killed writer left half done is cut off.

        Parameters
        ----------
        location, key
            The lake, and the study's folder in it (`study_key`).
        header
            What the study is now; the journal must be of the same.
        rows
            Rows of the study's panel: values per row of `oof.f32`.
        wait
            Seconds to wait for another local writer.

        Raises
        ------
        UsageError
            If the journal is of another study (value ``field``), or another process writes it.
        DataQualityError
            If a line was edited (value ``line``), or rows are missing.
        """
        files = journal_files(location, key, write=True, wait=wait)
        try:
            journal = cls(files, header, rows * np.dtype(np.float32).itemsize)
            journal._load()
        except BaseException:
            files.close()
            raise
        return journal

    def append(self, result: ConfigResult, oof: np.ndarray) -> None:
        """Add a configuration: its row first, then its line, each flushed.

        Parameters
        ----------
        result
            The configuration; its number is the next one.
        oof
            float32 (rows,): out-of-fold predictions in panel order, NaN where no fold ran.
        """
        data = np.ascontiguousarray(oof, np.float32).tobytes()
        if result.i != len(self.configs) or len(data) != self._row_bytes or self.final is not None:
            msg = f"configuration {result.i} with {len(data)} bytes is not what comes next in {self._files.uri}"
            raise DeveloperError(msg)
        self._files.put_row(result.i, data)
        self._put("config", result)
        self.configs.append(result)

    def finish(self, final: Final) -> None:
        """Add the last line."""
        self._put("final", final)
        self.final = final

    def close(self) -> None:
        """Let others write."""
        self._files.close()

    def _put(self, kind: str, record: Header | ConfigResult | Final) -> None:
        line = _line(kind, self._hash, record)
        self._files.put_line(self._lines, line)
        self._lines, self._hash = self._lines + 1, _hash(line)

    def _load(self) -> None:
        lines, torn = self._files.lines()
        if lines and not _is_json(lines[-1]):
            lines, torn = lines[:-1], True
        found = _read(lines, self._files.uri)
        _same(found.header, self.header, self._files.uri)
        self._trim(found, torn)
        self.configs, self.final = list(found.configs), found.final
        self._lines, self._hash = found.lines, found.last_hash
        if found.header is None:
            self._put("header", self.header)

    def _trim(self, found: _Content, torn: bool) -> None:
        rows, wanted = self._files.row_count(self._row_bytes), len(found.configs)
        if rows < wanted:
            msg = f"the journal has {wanted} configurations, but {rows:g} rows of predictions"
            raise DataQualityError(msg, hint="start anew with --fresh", file=self._files.uri, line=int(rows) + 2)
        if torn:
            self.warnings.append(f"{self._files.uri}: line {found.lines + 1} of the journal was torn and is cut off")
        if rows > wanted:
            self.warnings.append(f"{self._files.uri}: predictions without a line after row {wanted} are cut off")
        if torn or rows > wanted:
            self._files.cut(found.lines, wanted, self._row_bytes)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _same(found: Header | None, wanted: Header, uri: str) -> None:
    if found is None or found == wanted:
        return
    was, now = asdict(found), asdict(wanted)
    name = next(name for name in now if now[name] != was[name])
    if name == "libraries":
        part = next(p for p in sorted({*was[name], *now[name]}) if was[name].get(p) != now[name].get(p))
        name, was, now = f"libraries.{part}", was[name], now[name]
    last = name.rpartition(".")[2]
    msg = f"the journal is of another study: {name} was {was.get(last)!r} and is {now.get(last)!r}"
    raise UsageError(msg, hint="start anew with --fresh; the old folder is kept", file=uri, field=name)


# --- reading -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class StudyRecord:
    """A journal that is read. Attributes are those of its lines; ``final`` is None while the study goes on."""

    location: Location
    key: str
    header: Header
    configs: tuple[ConfigResult, ...]
    final: Final | None

    @cached_property
    def winner(self) -> ConfigResult | None:
        """The winning configuration; None if the study failed or goes on."""
        return None if self.final is None or self.final.winner is None else self.configs[self.final.winner]

    def oof(self, i: int) -> np.ndarray:
        """Predictions of configuration i; see `oof_row`."""
        return oof_row(self, i)


def read_study(location: Location, key: str) -> StudyRecord:
    """Read the journal of a study, without its predictions; it is not changed.

    Parameters
    ----------
    location, key
        The lake, and the study's folder in it (`study_key`).

    Raises
    ------
    StorageError
        If there is no journal.
    DataQualityError
        If a line was edited. Value: ``line``.
    """
    files = journal_files(location, key)
    lines, _ = files.lines()
    if lines and not _is_json(lines[-1]):
        lines = lines[:-1]
    found = _read(lines, files.uri)
    if found.header is None:
        msg = "the journal is empty"
        raise DataQualityError(msg, hint="run the sweep again", file=files.uri)
    return StudyRecord(location, key, found.header, found.configs, found.final)


def oof_row(study: StudyRecord, i: int) -> np.ndarray:
    """Out-of-fold predictions of configuration i of a study that has ended.

    Returns
    -------
    float32 (rows,), in panel order: of all rows of the panel for a pooled study, of the symbol's slice
    (`Panel.rows_of`) for another. NaN where no fold ran.

    Raises
    ------
    UsageError
        If the study has not ended: a row may be in flight.
    """
    if study.final is None:
        msg = f"study {study.header.study} has not ended"
        raise UsageError(msg, hint="run the sweep again; it goes on where it stopped", file=study.key)
    row = journal_files(study.location, study.key).row(i, len(study.configs))
    return np.frombuffer(row, np.float32)

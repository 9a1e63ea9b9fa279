"""Lines of a journal: what stands in them, and the chain of hashes that ties each to the one before."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np

from raypipe.errors import DataQualityError, UsageError

__all__ = [
    "JOURNAL_SCHEMA",
    "ConfigResult",
    "Content",
    "Final",
    "Header",
    "check_header",
    "hash_line",
    "is_whole",
    "line_of",
    "read_lines",
]

JOURNAL_SCHEMA = 1
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

    @property
    def rounds(self) -> int:
        """Rounds for a fit on all rows: the median over the folds that ran; 0 if the family has none."""
        known = [one for one in self.fold_rounds if one is not None]
        return round(statistics.median(known)) if known else 0

    @property
    def value_se(self) -> float | None:
        """Standard error of ``value``: standard deviation of the fold values over the root of their number."""
        known = [one for one in self.fold_value if one is not None]
        return float(np.std(known, ddof=1) / np.sqrt(len(known))) if len(known) > 1 else None


@dataclass(frozen=True, slots=True)
class Final:
    """How a study ended; a study without a winner failed."""

    winner: int | None
    value: float | None
    n_complete: int
    n_pruned: int
    n_failed: int


# --- lines -------------------------------------------------------------------------------------


def line_of(kind: str, prev: str, record: Header | ConfigResult | Final) -> bytes:
    """A line without its end; ``prev`` is the hash of the line before."""
    head = {"kind": kind, "prev": prev, **({"schema": JOURNAL_SCHEMA} if kind == "header" else {})}
    return _dumps({**head, **{name: getattr(record, name) for name in _names(type(record))}})


def _dumps(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":"), allow_nan=False).encode()


def hash_line(line: bytes) -> str:
    """SHA-256 of a line without its times."""
    timeless = {name: value for name, value in json.loads(line).items() if name not in _TIMES}
    return hashlib.sha256(_dumps(timeless)).hexdigest()


@dataclass(frozen=True, slots=True)
class Content:
    """The lines of a journal, read and checked."""

    header: Header | None
    configs: tuple[ConfigResult, ...]
    final: Final | None
    lines: int
    last_hash: str


def read_lines(lines: Sequence[bytes], uri: str) -> Content:
    """Check the lines of a journal, and what they say.

    Parameters
    ----------
    lines
        Without their ends.
    uri
        Where they are, for errors.

    Raises
    ------
    DataQualityError
        Naming the first line that was changed. Value: ``line``.
    UsageError
        If another version wrote them.
    """
    parsed = [_parse(line, n, uri) for n, line in enumerate(lines, 1)]
    hashes = ["", *map(hash_line, lines)]
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
    return Content(header, configs, final, len(lines), hashes[-1])


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


def is_whole(line: bytes) -> bool:
    """Whether a line can be read at all: the last one may be torn."""
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def check_header(found: Header | None, wanted: Header, uri: str) -> None:
    """Refuse a journal of another study.

    Raises
    ------
    UsageError
        Naming the first field that differs. Value: ``field``.
    """
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

"""The journal of a study: what was asked, what came of it, and every out-of-fold prediction.

`journal.jsonl` has a header, a line per configuration and a final line; each carries the hash of the line before
(without its times), so an edit shows. Row i of `oof.f32` holds the predictions of configuration i. A study that is
killed goes on from here, and what is read from here is all that later steps know of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raypipe.errors import DataQualityError, DeveloperError, StorageError, UsageError
from raypipe.lake.location import Location
from raypipe.lake.names import symbol_to_file
from raypipe.lake.objects import MISSING
from raypipe.training.journal_files import JournalFiles, journal_files
from raypipe.training.journal_lines import (
    ConfigResult,
    Content,
    Final,
    Header,
    check_header,
    hash_line,
    is_whole,
    line_of,
    read_lines,
)

__all__ = [
    "POOLED",
    "ConfigResult",
    "Final",
    "Header",
    "Journal",
    "StudyRecord",
    "check_header",
    "journal_progress",
    "oof_row",
    "read_study",
    "study_key",
]

#: Scope of a study over all symbols.
POOLED = "_pooled"


def study_key(run_id: str, algorithm: str, scope: str) -> str:
    """The folder of a study in its lake.

    Examples
    --------
    >>> study_key("0123456789ab", "xgboost", "BRK.B")
    'runs/0123456789ab/studies/xgboost/BRK.B'
    """
    return f"runs/{run_id}/studies/{algorithm}/{scope if scope == POOLED else symbol_to_file(scope)}"


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
        line = line_of(kind, self._hash, record)
        self._files.put_line(self._lines, line)
        self._lines, self._hash = self._lines + 1, hash_line(line)

    def _load(self) -> None:
        lines, torn = self._files.lines()
        if lines and not is_whole(lines[-1]):
            lines, torn = lines[:-1], True
        found = read_lines(lines, self._files.uri)
        check_header(found.header, self.header, self._files.uri)
        self._trim(found, torn)
        self.configs, self.final = list(found.configs), found.final
        self._lines, self._hash = found.lines, found.last_hash
        if found.header is None:
            self._put("header", self.header)

    def _trim(self, found: Content, torn: bool) -> None:
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
        If there is no journal, or nothing in it yet.
    DataQualityError
        If a line was edited. Value: ``line``.
    """
    files = journal_files(location, key)
    lines, _ = files.lines()
    if lines and not is_whole(lines[-1]):
        lines = lines[:-1]
    found = read_lines(lines, files.uri)
    if found.header is None:
        msg = "the journal is empty"
        raise StorageError(msg, hint="run the sweep again", store=location.root, key=key, code=MISSING)
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


def journal_progress(location: Location, key: str) -> tuple[int, float | None]:
    """Configurations of a study that goes on, and the best objective; nothing is checked.

    Zero where there is no journal yet, and on S3, where looking would cost a request per configuration.
    """
    if not location.is_local:
        return 0, None
    files = journal_files(location, key)
    try:
        lines, _ = files.lines()
    except StorageError:
        return 0, None
    told = [json.loads(line) for line in lines[1:] if line.startswith(b'{"kind":"config"') and is_whole(line)]
    values = [one["value"] for one in told if one["state"] == "complete"]
    return len(told), max(values, default=None)

"""Panels for models beside `gold/model_panel`: other tables of the lake, tables of events, and people's own files.

What may be learned from is told by roles. A file without roles needs its features named, and no name may be one that a
label or a raw bar has in the lake.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import calendar
from raypipe.config import Config
from raypipe.dataset.load import check_intervals, panel_of
from raypipe.dataset.matrix import Panel, Target
from raypipe.errors import SourceError, UsageError
from raypipe.lake.store import Lake
from raypipe.pipeline.views import declared_tables
from raypipe.schema.daily_bars import OHLCV_1D
from raypipe.schema.frames import floats
from raypipe.schema.known import decided_ns
from raypipe.schema.spec import Table
from raypipe.schema.tables import DAY_AGGS, MINUTE_AGGS

__all__ = ["Asked", "Loaded", "built_of", "load_rows", "named_target"]

#: What files call the columns of keys.
_SYMBOL, _SESSION, _KNOWN = ("symbol", "ticker"), ("session", "date"), ("decision_ns", "available_ns")
_LEVELS = ("usd", "shares")


@dataclass(frozen=True, slots=True)
class Asked:
    """Where a panel comes from, in a person's words.

    Attributes
    ----------
    data
        A table of the lake, a file, or a folder of files; empty: `gold/model_panel`.
    features
        ``a,b``; ``@FILE`` with a name per line; or ``re:PATTERN``, matched from the first character on. Empty: by role.
    label, label_end
        Columns with the label and the nanosecond at which it ends; empty: a target of `gold/targets`.
    """

    data: str = ""
    features: str = ""
    label: str = ""
    label_end: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Rows with the columns of keys under their usual names, and which columns are features."""

    name: str
    rows: pa.Table
    features: tuple[str, ...]
    unique: bool

    def panel(self, symbols: Sequence[str] | None) -> Panel:
        """The rows as a panel."""
        return panel_of(self.rows, symbols=symbols, features=self.features, unique=self.unique, name=self.name)


def built_of(config: Config, names: Sequence[str]) -> str:
    """The first of some tables that the lake holds anything of; the first of all if it holds none."""
    lake, tables = Lake(config.lake.location), declared_tables(config)
    return next((name for name in names if name in tables and lake.partitions(tables[name])), names[0])


def load_rows(config: Config, asked: Asked) -> Loaded:
    """Rows of a table of the lake, of a file, or of a folder of files.

    Raises
    ------
    UsageError
        If there is no such table or file, features are not told or not known, or one is a label or a raw bar.
    SourceError
        If a file cannot be read.
    """
    tables = declared_tables(config)
    short = {name.partition("/")[2]: name for name in tables}
    name = short.get(asked.data, asked.data)
    if name in tables:
        return _of_table(config, tables[name], asked)
    return _of_files(Path(asked.data), asked, tables.values())


# --- tables of the lake ------------------------------------------------------------------------


def _of_table(config: Config, spec: Table, asked: Asked) -> Loaded:
    lake = Lake(config.lake.location)
    partitions = lake.partitions(spec)
    if not partitions or "symbol" not in spec or "session" not in spec:
        msg = f"{spec.name} has {'no row in this lake' if not partitions else 'no symbol and session'}"
        raise UsageError(msg, hint="raypipe status shows what there is")
    keep = getattr(config.params["panel"], "keep_levels", False)
    able = [
        column.name
        for column in spec.columns
        if column.role == "feature"
        and not column.alias_of
        and not pa.types.is_dictionary(column.arrow.type)
        and not pa.types.is_string(column.arrow.type)
    ]
    plain = [name for name in able if keep or spec[name].unit.partition(" ")[0] not in _LEVELS]
    features = _chosen(asked.features, able) if asked.features else tuple(plain)
    own = [name for name in (asked.label, asked.label_end) if name]
    missing = [name for name in own if name not in spec]
    if missing:
        labels = [column.name for column in spec.columns if column.role == "label"]
        msg = f"{spec.name} has no column {missing[0]}"
        raise UsageError(msg, hint=f"its labels: {', '.join(labels) or 'none'}")
    times = [column.name for column in spec.columns if column.role == "time" or column.name in ("decision_ns",)]
    wanted = tuple(dict.fromkeys(("symbol", "session", *times, *own, *features)))
    rows = pa.concat_tables([lake.read(spec, one, wanted) for one in partitions]).unify_dictionaries()
    unique = spec.key in (("symbol", "session"), ("symbol",))
    return Loaded(spec.name, _with_decision(rows, decided_ns(spec, rows)), features, unique)


def _with_decision(rows: pa.Table, times: np.ndarray) -> pa.Table:
    if "decision_ns" in rows.column_names:
        rows = rows.drop_columns(["decision_ns"])
    return rows.append_column("decision_ns", pa.array(times, pa.int64()))


# --- files -------------------------------------------------------------------------------------


def _of_files(path: Path, asked: Asked, tables: Iterable[Table]) -> Loaded:
    files = sorted(one for one in path.iterdir() if one.suffix in (".parquet", ".csv")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        msg = f"{path} is no table of the lake, and no Parquet or CSV file"
        raise UsageError(msg, hint="name a table as raypipe status shows it, a file, or a folder of files")
    try:
        rows = pa.concat_tables([_read(one) for one in files], promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        msg = f"cannot be read: {str(error).splitlines()[0]}"
        raise SourceError(msg, hint="write Parquet, or CSV with a header", file=str(path)) from None
    rows = _keyed(rows, path)
    features = _file_features(rows, asked, path)
    _refuse_known(features, tables, path)
    return Loaded(str(path), rows, features, unique=not asked.label)


def _read(path: Path) -> pa.Table:
    if path.suffix == ".csv":
        import pyarrow.csv

        return pyarrow.csv.read_csv(path)
    import pyarrow.parquet as pq

    return pq.read_table(path, use_threads=False)


def _keyed(rows: pa.Table, path: Path) -> pa.Table:
    """The rows with symbol, session and decision under their names; without a time, a session knows all at its end."""
    found = {}
    for names in (_SYMBOL, _SESSION):
        name = next((name for name in names if name in rows.column_names), "")
        if not name:
            msg = f"there is no column {' or '.join(names)}"
            raise SourceError(msg, hint="each row needs its symbol and session", file=str(path))
        found[names[0]] = name
    days = rows[found["session"]]
    try:
        days = days.cast(pa.date32())
    except pa.ArrowInvalid as error:
        msg = f"column {found['session']} holds no dates: {error}"
        raise SourceError(msg, hint="write them as YYYY-MM-DD", file=str(path)) from None
    known = next((name for name in _KNOWN if name in rows.column_names), "")
    times = rows[known].cast(pa.int64()).to_numpy() if known else _ends(days, path)
    rows = rows.set_column(rows.column_names.index(found["session"]), "session", days)
    rows = rows.rename_columns(["symbol" if name == found["symbol"] else name for name in rows.column_names])
    return _with_decision(rows, times)


def _ends(days: pa.ChunkedArray, path: Path) -> np.ndarray:
    """20:00 exchange time of each session."""
    each = pc.unique(days.drop_null()).to_pylist()
    off = [day for day in each if day not in calendar()]
    if off or days.null_count:
        msg = f"{off[0] if off else 'an empty date'} is not a session of the exchange"
        raise SourceError(msg, hint="weekends and holidays have no rows", file=str(path))
    ends = {day: calendar().session(day).ext_end_ns for day in each}
    return np.array([ends[day] for day in days.to_pylist()], np.int64)


def _file_features(rows: pa.Table, asked: Asked, path: Path) -> tuple[str, ...]:
    roles = {field.name: (field.metadata or {}).get(b"role", b"").decode() for field in rows.schema}
    keys = {"symbol", "session", "decision_ns", "available_ns", asked.label, asked.label_end}
    able = [name for name in rows.column_names if name not in keys]
    if asked.features:
        return _chosen(asked.features, able)
    if not any(roles.values()):
        msg = f"{path} does not say which of its columns are features"
        raise UsageError(msg, hint="name them: --features a,b or @FILE or re:PATTERN")
    return tuple(name for name in able if roles[name] == "feature")


def _chosen(text: str, able: Sequence[str]) -> tuple[str, ...]:
    """The features that a person names, in the order of the columns for a pattern."""
    if text.startswith("re:"):
        try:
            pattern = re.compile(text[3:])
        except re.error as error:
            msg = f"--features: {text[3:]!r} is no pattern: {error}"
            raise UsageError(msg, hint="for example re:rsi_.*") from None
        names = [name for name in able if pattern.match(name)]
    elif text.startswith("@"):
        try:
            lines = Path(text[1:]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            msg = f"--features: {text[1:]} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8 text'}"
            raise UsageError(msg) from None
        names = [name for line in lines if (name := line.partition("#")[0].strip())]
    else:
        names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in able]
    if unknown or not names:
        msg = f"there is no feature {unknown[0]!r}" if unknown else f"--features {text} names none"
        raise UsageError(msg, hint=f"columns: {', '.join(able[:20])}{' ...' if len(able) > 20 else ''}")  # noqa: PLR2004
    return tuple(dict.fromkeys(names))


def _refuse_known(features: Sequence[str], tables: Iterable[Table], path: Path) -> None:
    """A label or a raw bar among the features of a file is a mistake, whatever the file calls it."""
    labels = {column.name: table.name for table in tables for column in table.columns if column.role == "label"}
    bars = {column.name: table.name for table in (DAY_AGGS, MINUTE_AGGS, OHLCV_1D) for column in table.columns}
    for name in features:
        if name in labels or name in bars:
            owner = labels.get(name) or bars[name]
            what = "a label" if name in labels else "a column of raw bars"
            msg = f"{name} is {what} ({owner}), and cannot be a feature"
            raise UsageError(msg, hint="leave it out of --features", file=str(path))


# --- labels of the rows themselves -------------------------------------------------------------


def named_target(loaded: Loaded, panel: Panel, asked: Asked, symbols: Sequence[str]) -> Target:
    """A target made of two columns of the panel's own rows; its labels begin at their decisions.

    Raises
    ------
    UsageError
        If a column is missing, or is no number.
    """
    rows = loaded.rows
    for name in (asked.label, asked.label_end):
        if name not in rows.column_names:
            msg = f"{loaded.name} has no column {name!r}" if name else "--label and --label-end go together"
            raise UsageError(msg, hint="name the label and the nanosecond at which it ends")
    place = pc.index_in(rows["symbol"].cast(pa.string()), value_set=pa.array(symbols, pa.string()))
    rows, place = rows.filter(place.is_valid()), place.drop_null()
    order = _order(rows, place.to_numpy())
    label = rows[asked.label]
    y = floats(label.cast(pa.float64()))[order].astype(np.float32)
    ends = np.where(label.is_valid().to_numpy(), rows[asked.label_end].fill_null(0).cast(pa.int64()).to_numpy(), 0)[
        order
    ]
    y = np.where(ends > 0, y, np.nan).astype(np.float32)
    known = ~np.isnan(y)
    kind = "class" if np.isin(y[known], (0.0, 1.0)).all() else "regression"
    closes = calendar().hours(panel.sessions.astype("datetime64[D]").astype(np.int64))[1]
    span = np.searchsorted(closes, ends[known]) - panel.session_id[known]
    target = Target(
        asked.label,
        "class" if kind == "class" else "regression",
        max(int(span.max(initial=1)), 1),
        y,
        np.where(known, panel.decision_ns, 0),
        np.where(known, ends, 0),
    )
    check_intervals(panel, target)
    return target


def _order(rows: pa.Table, symbol: np.ndarray) -> np.ndarray:
    """The order of the panel's rows."""
    days = rows["session"].combine_chunks().cast(pa.date32()).view(pa.int32()).to_numpy()
    return np.lexsort((rows["decision_ns"].to_numpy(), days, symbol))

"""docs/signals-columns.md lists gold/signals as it is, and what was counted in its columns.

``python -m tests.test_signal_docs`` writes the page anew with the counts that it has; with a file, it takes them from
there: the output of ``raypipe columns signals --json``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from raypipe.pipeline.column_facts import MOST_DISTINCT
from raypipe.pipeline.stages import family_catalog
from raypipe.schema.signals import SignalsParams
from raypipe.schema.spec import Column

PAGE = Path(__file__).resolve().parent.parent / "docs" / "signals-columns.md"
HEAD = """# Columns of `gold/signals`

In stored order. *Known* is the class of [signals.md](signals.md#when-a-value-is-known). By the audit every column but
the labels is `clean`, and every label settled in time. What is never null has an empty cell under *null where*.

The last two cells are counts of five sessions of the synthetic market, 380 touches: the share of nulls, and distinct
values. `raypipe columns signals` counts them in any lake. Columns that never vary are explained
[below](#columns-of-one-value).

<!-- not run: a minute of made-up books -->
```sh
raypipe synth --out market --datasets es,options --sessions 12 --es-sessions 12 --mbp-sessions 5 \
--es-activity 0.2 --symbols 3 --history 0 --start-date 2025-11-26 --roll-session 2025-12-08
raypipe ingest --root lake --from-dir market
raypipe columns signals --root lake
```
"""
_SATURATES = "saturates where trading is busy: min(1, contracts / {}); thin markets have less"
_TWO_DOLLARS = "two dollars within two minutes are out of reach in calm sessions; `outcome_atr1_2min` is not"
_LATE = "true only of touches less than the horizon before the close"
#: Columns that may hold one value, or none, in some lakes, and why that is right.
ONE_VALUED = {
    "symbol": "always SPY",
    "front_contract": "changes at the roll; the sessions of one quarter have one",
    "cadence": "a setting: `signals.touch.cadence`",
    "es_spy_ratio_source": "spy in lakes with SPY minutes, once five of them have both prices; parity without",
    "warmup_sma_sessions": "eligible sessions have their whole warm-up; fewer only in sessions named with `--dates`",
    "warmup_volume_sessions": "as `warmup_sma_sessions`",
    "touch_type": "cross is a trade that jumps over the band of 0.10 $, four ticks of ES; by bars it is common",
    "zone_visible": "ten levels reach over most of the zone of a level so near, unless the book has gaps",
    "barrier_fill_method": "exact with Databento's actions, volume with Parquet files that have none",
    "barrier_confidence": _SATURATES.format(500),
    "tape_confidence": _SATURATES.format(500),
    "fuel_confidence": _SATURATES.format("1,000"),
    "confidence": "HIGH where all three confidences are 1",
    "wall_ratio_nonzero": "0 only where `wall_ratio` is unknown, or nothing rests in the zone",
    "barrier_delta_liq_nonzero": "0 only where `barrier_delta_liq` is unknown, or exactly 0",
    "tape_unsided_vol": "the exchange names nearly every aggressor: 3 of 6,867 trades of three real ES files lack one",
    "tape_slope_3s": "0 with fewer than two moments of trading in three seconds, as in thin markets",
    "fuel_call_wall": "needs a strike with 50,000 shares per dollar of dealers' gamma, thousands of contracts net",
    "fuel_put_wall": "as `fuel_call_wall`",
    "rel_vol_state": "HIGH from 1.3 and LOW to 0.7 times the usual volume; sessions of the synthetic market are alike",
    "time_to_break_2_2min": _TWO_DOLLARS,
    "time_to_bounce_2_2min": _TWO_DOLLARS,
    "time_to_threshold_2_2min": _TWO_DOLLARS,
    "tradeable_2_2min": _TWO_DOLLARS,
    "outcome_2min": _TWO_DOLLARS,
    "censored_2min": _LATE,
    "censored_4min": _LATE,
    "censored_5min": _LATE,
    "censored_8min": _LATE,
}
_ROW = re.compile(r"^\| `(\w+)` \|.*\| ([^|]*) \| ([^|]*) \|$", re.MULTILINE)
#: Of the group ``touch``: what the touching trade itself says, and what is chosen when the session is over.
TOUCHING = {
    *("session", "event_id", "ts_ns", "ts_event_ns", "decision_ns", "date", "symbol", "cadence", "spot", "es_price"),
    *("touch_type", "direction", "direction_sign", "distance", "distance_signed"),
}
SESSION = {"front_contract", "front_dominance"}
BEFORE = {"touch", "barrier", "tape", "fuel", "dealer_flow"}


def known(column: Column) -> str:
    """The class of a column."""
    if column.role == "label":
        return "after"
    if column.name in SESSION:
        return "session"
    if column.name in TOUCHING:
        return "touch"
    return "before" if column.group in BEFORE else "spot"


def page(counts: Mapping[str, tuple[str, str]]) -> str:
    """The page as it should be, with what was counted in each column: share of nulls, and distinct values."""
    columns = family_catalog()["signals"].table(SignalsParams()).columns
    lines = [HEAD]
    for group, members in groupby(columns, key=lambda column: column.group or "touch"):
        lines += [
            f"## {group}",
            "",
            "| column | type | unit | role | known | meaning | null where | null | distinct |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        found = ((*_cells(column), *counts.get(column.name, ("?", "?"))) for column in members)
        lines += ["| " + " | ".join(cells) + " |" for cells in found] + [""]
    lines += [
        "## Columns of one value",
        "",
        "Where a column holds one value, or none, in all rows of a lake, and why.",
        "",
    ]
    lines += ["| column | one value because |", "|---|---|"]
    lines += [f"| `{name}` | {why} |" for name, why in ONE_VALUED.items()]
    return "\n".join(lines) + "\n"


def counted(text: str) -> dict[str, tuple[str, str]]:
    """What the page says was counted."""
    return {name: (nulls, distinct) for name, nulls, distinct in _ROW.findall(text)}


def counts_of(document: str) -> dict[str, tuple[str, str]]:
    """What ``raypipe columns signals --json`` counted."""
    (found,) = json.loads(document)["tables"]
    return {one["name"]: _count(one) for one in found["columns"]}


def _count(one: Mapping[str, int]) -> tuple[str, str]:
    share = f"{one['nulls'] / one['rows']:.1%}" if one["nulls"] else ""
    return share, f"{one['distinct']:,}" + ("+" if one["distinct"] == MOST_DISTINCT else "")


def _cells(column: Column) -> tuple[str, ...]:
    doc = f"alias of `{column.alias_of}`" if column.alias_of else column.doc
    cells = (f"`{column.name}`", column.dtype, column.unit, column.role, known(column), doc, column.null)
    return tuple(cell.replace("|", "\\|") for cell in cells)


def test_the_page_lists_every_column_as_it_is():
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(counted(text)), "write it anew: python -m tests.test_signal_docs"


def test_every_column_was_counted_and_those_of_one_value_are_explained():
    columns = family_catalog()["signals"].table(SignalsParams())
    counts = counted(PAGE.read_text(encoding="utf-8"))
    assert tuple(counts) == columns.names
    dull = {name for name, (_, distinct) in counts.items() if distinct in ("0", "1")}
    assert dull <= set(ONE_VALUED) <= set(columns.names)


if __name__ == "__main__":
    had = PAGE.read_text(encoding="utf-8")
    made = counts_of(Path(sys.argv[1]).read_text(encoding="utf-8")) if sys.argv[1:] else counted(had)
    PAGE.write_text(page(made), encoding="utf-8")

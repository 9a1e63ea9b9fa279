"""docs/signals-columns.md lists gold/signals as it is. ``python -m tests.test_signal_docs`` writes the page anew."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from raypipe.pipeline.stages import family_catalog
from raypipe.schema.signals import SignalsParams
from raypipe.schema.spec import Column

PAGE = Path(__file__).resolve().parent.parent / "docs" / "signals-columns.md"
HEAD = """# Columns of `gold/signals`

In stored order. *Known* is the class of [signals.md](signals.md#when-a-value-is-known). By the audit every column but
the labels is `clean`, and every label settled in time. What is never null has an empty last cell.
"""
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


def page() -> str:
    """The page as it should be."""
    columns = family_catalog()["signals"].table(SignalsParams()).columns
    lines = [HEAD]
    for group, members in groupby(columns, key=lambda column: column.group or "touch"):
        lines += [
            f"## {group}",
            "",
            "| column | type | unit | role | known | meaning | null where |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += ["| " + " | ".join(_cells(column)) + " |" for column in members] + [""]
    return "\n".join(lines)


def _cells(column: Column) -> tuple[str, ...]:
    doc = f"alias of `{column.alias_of}`" if column.alias_of else column.doc
    cells = (f"`{column.name}`", column.dtype, column.unit, column.role, known(column), doc, column.null)
    return tuple(cell.replace("|", "\\|") for cell in cells)


def test_the_page_lists_every_column_as_it_is():
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python -m tests.test_signal_docs"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

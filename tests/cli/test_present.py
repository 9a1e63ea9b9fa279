"""Text for people: nothing in it can act on a terminal, and it lines up."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.cli.present import GLYPHS, bytes_text, duration, grid, legend, safe, span, table


@given(st.text())
def test_safe_text_is_one_printable_line(text):
    assert safe(text).isprintable()
    assert safe(safe(text)) == safe(text)


@pytest.mark.parametrize("text", ["BRK.B", "O:SPY251216C00600000", "NA", "[red]x[/red]", "ä€", "a b"])
def test_ordinary_text_stays(text):
    assert safe(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb\nc\td", "a\\rb\\nc\\td"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202eabc", "\\u202eabc"),
        ("\udcff", "\\udcff"),
        ("\x00", "\\x00"),
    ],
)
def test_control_characters_are_spelled_out(text, shown):
    assert safe(text) == shown


def test_tables_line_up():
    assert table(("name", "rows"), [("a", 1), ("long name", "1,000")], right=frozenset({1})) == [
        "name        rows",
        "a              1",
        "long name  1,000",
    ]


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_a_table_has_one_line_per_row_and_no_trailing_space(rows):
    lines = table(("a", "b"), rows)
    assert len(lines) == len(rows) + 1
    assert all(line == line.rstrip() and line.isprintable() for line in lines)


def test_the_marks_differ_in_shape():
    assert len({glyph for glyph, *_ in GLYPHS.values()}) == len(GLYPHS)
    assert len({plain for _, plain, *_ in GLYPHS.values()}) == len(GLYPHS)
    assert all(plain.isascii() for _, plain, *_ in GLYPHS.values())


def test_the_grid_has_a_block_per_month_and_a_line_per_table():
    states = {
        "silver/daily": {dt.date(2025, 1, 2): "current", dt.date(2025, 1, 3): "failed", dt.date(2025, 2, 28): "stale"},
        "weekly": {dt.date(2025, 2, 24): "missing"},
    }
    assert grid(states, color=False, plain=True) == [
        "2025-01       1234567890123456789012345678901",
        "silver/daily   #x",
        "",
        "2025-02       1234567890123456789012345678901",
        "silver/daily                             ~",
        "weekly                               o",
        "",
    ]
    assert legend({"current", "failed"}, color=False, plain=True) == "# current  x failed"
    assert grid({}, color=False, plain=True) == []


def test_colour_only_wraps_the_marks():
    states = {"t": {dt.date(2025, 1, 1): "current"}}
    plain, coloured = (grid(states, color=color, plain=False)[1] for color in (False, True))
    assert coloured == plain.replace("●", "\x1b[32m●\x1b[0m")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB"), (3 << 40, "3.0 TiB")],
)
def test_sizes(size, text):
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min 0 s"), (3725, "1 h 2 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_spans():
    assert span(["2025-01-02"]) == "2025-01-02"
    assert span(["a", "b", "c"]) == "a..c (3)"

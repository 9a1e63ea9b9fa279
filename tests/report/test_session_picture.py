"""The picture of a session: complete, small, escaped, and a well-formed piece of a page."""

from __future__ import annotations

import itertools
import re
from typing import Any
from xml.etree import ElementTree as ET

import pyarrow as pa
import pytest

from raypipe.report.session_picture import BAR_COLUMNS, SIGNAL_COLUMNS, session_picture

OPEN_NS = 1_762_180_200_000_000_000  # 2025-11-03 09:30 in New York
MINUTE_NS = 60_000_000_000
SVG = "{http://www.w3.org/2000/svg}"


def touch(minute: float, **changes: Any) -> dict[str, Any]:
    plain = {
        **dict.fromkeys(SIGNAL_COLUMNS),
        "date": "2025-11-03",
        "front_contract": "ESZ5",
        "es_spy_ratio": 10.0,
        "ts_ns": OPEN_NS + int(minute * MINUTE_NS),
        "level_price": 675.0,
        "level_id": "PM_HIGH",
        "direction_sign": 1,
        "outcome_atr1_4min": "BREAK",
        "outcome_4min": "CHOP",
        "barrier_state": "VACUUM",
        "depth_in_zone": 120,
        "vwap": 674.5,
        "pm_high": 675.0,
        "pm_low": 671.0,
    }
    return {**plain, **changes}


def signals(*rows: dict[str, Any]) -> pa.Table:
    floats = {"es_spy_ratio", "level_price", "vwap", "pm_high", "pm_low", "or_high", "or_low", "call_wall", "put_wall"}
    kinds = dict.fromkeys(floats, pa.float64())
    kinds |= {"ts_ns": pa.int64(), "direction_sign": pa.int8(), "depth_in_zone": pa.int64()}
    columns = {name: [row[name] for row in rows] for name in SIGNAL_COLUMNS}
    return pa.table({name: pa.array(values, kinds.get(name, pa.string())) for name, values in columns.items()})


def bars(n: int = 390, contract: str = "ESZ5") -> pa.Table:
    close = [27_000 + k % 40 for k in range(n)]
    columns = {
        "contract": pa.array([contract] * n).dictionary_encode(),
        "start_ns": pa.array([OPEN_NS + k * MINUTE_NS for k in range(n)], pa.int64()),
        "high_ticks": pa.array([c + 3 for c in close], pa.int32()),
        "low_ticks": pa.array([c - 3 for c in close], pa.int32()),
        "close_ticks": pa.array(close, pa.int32()),
    }
    return pa.table({name: columns[name] for name in BAR_COLUMNS})


def drawn(*rows: dict[str, Any], of: pa.Table | None = None) -> tuple[str, ET.Element]:
    text = session_picture(signals(*rows), bars() if of is None else of)
    return text, ET.fromstring(text)


def paths(root: ET.Element, kind: str) -> list[str]:
    own = [each.get("d", "") for each in root.iter(f"{SVG}path") if each.get("class") == kind]
    inner = [each.get("d", "") for group in root.iter(f"{SVG}g") if group.get("class") == kind for each in group]
    return own + inner


def test_price_levels_touches_and_depth_are_there() -> None:
    rows = [
        touch(60),
        touch(270, outcome_atr1_4min="BOUNCE", direction_sign=-1, barrier_state="WALL", level_price=671.0),
    ]
    _, root = drawn(*rows, touch(300, outcome_atr1_4min="CHOP", barrier_state="NEUTRAL"))
    assert len(re.findall("[ML]?[0-9.]+ [0-9.]+", paths(root, "price")[0])) > 200
    words = " ".join(each.text or "" for each in root.iter(f"{SVG}text"))
    for word in (
        "PM high 675.00",
        "PM low 671.00",
        "10:00",
        "14:00",
        "break 1",
        "bounce 1",
        "chop 1",
    ):
        assert word in words
    tips = [each.text for each in root.iter(f"{SVG}title")]
    assert "10:30:00 PM_HIGH up: BREAK of 1 ATR, CHOP of $2, VACUUM" in tips
    assert "14:00:00 PM_HIGH down: BOUNCE of 1 ATR, CHOP of $2, WALL" in tips
    # The first path of a class is its key in the legend, or the marks themselves.
    for kind in ("thin", "thick", "plain"):
        assert any("V" in d for d in paths(root, kind))


def test_directions_have_shapes_of_their_own() -> None:
    _, root = drawn(touch(60), touch(90, direction_sign=-1))
    shapes = {d.partition("h")[2] for d in paths(root, "BREAK")}
    assert {"8l-4 -7z", "8l-4 7z"} <= shapes


def test_values_that_are_null_are_not_drawn() -> None:
    nothing = {"depth_in_zone": None, "vwap": None, "pm_high": None, "pm_low": None}
    text, root = drawn(touch(60, **nothing))
    assert not paths(root, "level")
    assert not paths(root, "vwap")
    assert "nan" not in text.lower()


def test_a_touch_alone_without_bars_is_drawn() -> None:
    text, root = drawn(touch(60), of=bars(5, contract="ESH6"))
    assert len(list(root.iter(f"{SVG}title"))) == 1
    assert "nan" not in text.lower()
    assert "inf" not in text.lower()


def test_hostile_words_are_escaped() -> None:
    hostile = "<script>alert(1)</script>\"'"
    text, root = drawn(touch(60, level_id=hostile, date=hostile))
    assert "<script" not in text
    assert any(hostile in (each.text or "") for each in root.iter(f"{SVG}title"))


def test_labels_do_not_overlap() -> None:
    levels = {"pm_high": 675.0, "or_high": 675.02, "call_wall": 675.04}
    _, root = drawn(touch(60, **levels))
    labels = [e for e in root.iter(f"{SVG}text") if re.search(r"\d\.\d\d$", e.text or "")]
    heights = sorted(float(each.get("y", "0")) for each in labels)
    assert all(b - a >= 11.9 for a, b in itertools.pairwise(heights))


@pytest.mark.parametrize("n", [600, 3_000])
def test_it_stays_small(n: int) -> None:
    names = ("BREAK", "BOUNCE", "CHOP", "UNDEFINED")
    rows = [touch(380 * k / n, level_id=f"STRIKE_{k}", outcome_atr1_4min=names[k % 4]) for k in range(n)]
    text, root = drawn(*rows)
    assert len(text) < 300_000
    marks = sum(d.count("z") for kind in names for d in paths(root, kind))
    assert marks == n + len(names)


def test_nothing_runs_and_nothing_is_fetched() -> None:
    text, _ = drawn(touch(60))
    assert not re.search(r"<script|\bon\w+=|href|url\(|@import", text)
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]

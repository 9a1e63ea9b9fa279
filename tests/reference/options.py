"""Option prints by their definition: the csv module, one row after the other, and a tick test with a dictionary."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from dataclasses import dataclass
from typing import Any

SYMBOL = re.compile(r"O:SPY(\d{6})([CP])(\d{8})")
OTHER = re.compile(r"O:SPY([A-Z].*|\d\d{6}[CP]\d{8})")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
INTEGER = re.compile(r"\d{1,19}(\.0*)?")


@dataclass
class Judged:
    """What became of the rows of a file."""

    kept: list[dict[str, Any]]
    refused: list[tuple[str, int]]
    dropped: dict[str, int]


@dataclass(frozen=True)
class Rules:
    first_ns: int
    end_ns: int
    expiry: dt.date
    carry: bool = True
    drop: tuple[int, ...] = (201, 203, 205, 207)
    unsigned: tuple[int, ...] = tuple(range(232, 248))


def whole(text: str | None) -> int | None:
    """An integer, None where there is none.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if not text:
        return None
    if not INTEGER.fullmatch(text):
        raise ValueError(text)
    return int(text.partition(".")[0])


def read(text: str, rules: Rules) -> Judged:
    """A flat file."""
    judged = Judged([], [], {"cancelled": 0, "corrected": 0})
    for line, row in enumerate(csv.DictReader(io.StringIO(text, newline="")), start=2):
        symbol = row["ticker"]
        match = SYMBOL.fullmatch(symbol)
        if not match:
            if symbol.startswith("O:SPY") and not OTHER.fullmatch(symbol):
                judged.refused.append(("symbol", line))
            continue
        if match[1] != rules.expiry.strftime("%y%m%d"):
            continue
        judge(row, match, line, rules, judged)
    judged.kept = in_order(judged.kept)
    sign(judged.kept, rules)
    return judged


def judge(row: dict[str, str], match: re.Match[str], line: int, rules: Rules, judged: Judged) -> None:
    try:
        numbers = {name: whole(row.get(name)) for name in ("correction", "exchange", "size", "sequence_number")}
        sip, participant = whole(row["sip_timestamp"]), whole(row.get("participant_timestamp"))
        if row["price"] and not NUMBER.fullmatch(row["price"]):
            raise ValueError(row["price"])
    except ValueError:
        judged.refused.append(("unreadable", line))
        return
    ts_ns = sip or participant or -1
    codes = {int(code) for code in re.findall(r"\d+", row["conditions"])}
    price = float(row["price"]) if row["price"] else float("nan")
    if not rules.first_ns <= ts_ns < rules.end_ns:
        judged.refused.append(("time", line))
    elif codes & set(rules.drop):
        judged.dropped["cancelled"] += 1
    elif numbers["correction"]:
        judged.dropped["corrected"] += 1
    elif not 0 < price < float("inf"):
        judged.refused.append(("price", line))
    elif not 0 < (numbers["size"] or 0) < 2**32:
        judged.refused.append(("size", line))
    elif int(match[3]) == 0:
        judged.refused.append(("strike", line))
    else:
        judged.kept.append(
            {
                "ts_event_ns": ts_ns,
                "sequence": numbers["sequence_number"],
                "option_symbol": match[0],
                "strike_e3": int(match[3]),
                "right": match[2],
                "price": price,
                "size": numbers["size"],
                "conditions": row["conditions"] or None,
                "exchange": numbers["exchange"],
                "exp_date": rules.expiry,
                "package": bool(codes & set(rules.unsigned)),
                "line": line,
            }
        )


def in_order(kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By time, contract, sequence if all have one, and line."""
    numbered = all(row["sequence"] is not None for row in kept)

    def place(row: dict[str, Any]) -> tuple[Any, ...]:
        contract = row["strike_e3"], row["right"]
        return row["ts_event_ns"], *contract, row["sequence"] if numbered else 0, row["line"]

    return sorted(kept, key=place)


def sign(kept: list[dict[str, Any]], rules: Rules) -> None:
    """The tick test per contract; packages have no side, and their price is no one's previous price."""
    last: dict[str, tuple[float, int]] = {}
    for row in kept:
        if row["package"]:
            row["aggressor"] = 0
            continue
        before, sign_before = last.get(row["option_symbol"], (row["price"], 0))
        if row["price"] == before:
            row["aggressor"] = sign_before if rules.carry else 0
            new = sign_before
        else:
            row["aggressor"] = new = 1 if row["price"] > before else -1
        last[row["option_symbol"]] = row["price"], new

"""What the CSV kernel may accept and what it must make of it: Python's own ``float`` and ``int``, line by line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

#: Fields of a vendor's header, by name; other columns are passed over.
FIELDS = ("ticker", "volume", "open", "close", "high", "low", "window_start", "transactions")
DECIMALS = ("volume", "open", "close", "high", "low")
LARGEST = {"window_start": 2**63 - 1, "transactions": 2**31 - 1}
LINE_CAP = 4096


@dataclass
class Parsed:
    """Rows as dictionaries; and, if a line was refused, its number and the name of the reason."""

    rows: list[dict[str, str | int | float]] = field(default_factory=list)
    refused: tuple[int, str] | None = None

    @property
    def symbols_ascend(self) -> bool:
        runs = [str(row["ticker"]).encode() for row in self.rows]
        changes = [(a, b) for a, b in pairwise(runs) if a != b]
        return all(a < b for a, b in changes)

    @property
    def times_ascend(self) -> bool:
        return all(a["window_start"] < b["window_start"] for a, b in pairwise(self.rows) if a["ticker"] == b["ticker"])


def parse(text: bytes) -> Parsed:
    """Parse a file, header included, until its end or the first refused line."""
    header, *lines = text.split(b"\n")
    names = header.decode().split(",")
    parsed = Parsed()
    for number, line in enumerate(lines[:-1], start=2):
        body = line.removesuffix(b"\r")
        reason = refusal(body, names)
        if reason:
            parsed.refused = number, reason
            return parsed
        parsed.rows.append(values(body.decode().split(","), names))
    if lines[-1]:
        parsed.refused = len(lines) + 1, "LINE_TOO_LONG" if len(lines[-1]) > LINE_CAP + 1 else "TRUNCATED"
    return parsed


def values(fields: list[str], names: list[str]) -> dict[str, str | int | float]:
    """One row: numbers as Python reads them."""
    kinds = {"ticker": str} | dict.fromkeys(DECIMALS, float) | dict.fromkeys(LARGEST, int)
    return {name: kinds[name](text) for name, text in zip(names, fields, strict=True) if name in kinds}


def refusal(body: bytes, names: list[str]) -> str:
    """Name of the reason to refuse a line, or nothing."""
    if len(body) >= LINE_CAP:
        return "LINE_TOO_LONG"
    if b'"' in body:
        return "QUOTE"
    if any(byte < 32 or byte > 127 for byte in body):
        return "BAD_BYTE"
    fields = body.decode().split(",")
    for name, text in zip(names, fields, strict=False):
        reason = field_refusal(name, text)
        if reason:
            return reason
    if len(fields) == len(names):
        return ""
    return "TOO_FEW_FIELDS" if len(fields) < len(names) else "TOO_MANY_FIELDS"


def field_refusal(name: str, text: str) -> str:
    """Name of the reason to refuse a field, or nothing."""
    if name not in FIELDS:
        return ""
    if not text:
        return "EMPTY_FIELD"
    if name in LARGEST:
        if not re.fullmatch("[0-9]+", text):
            return "BAD_BYTE"
        return "OVERFLOW" if len(text) > 19 or int(text) > LARGEST[name] else ""
    if name in DECIMALS:
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
            return "BAD_BYTE"
        return "TOO_PRECISE" if len(text) > 18 or int(text.replace(".", "")) > 2**53 else ""
    return ""

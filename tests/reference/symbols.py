"""What the spelling of a symbol says, rule by rule, without regular expressions."""

from __future__ import annotations

import string
from collections.abc import Collection

UPPER, LETTERS = set(string.ascii_uppercase), set(string.ascii_letters)
WHOLE = {"ZEXIT", "ZIEXT", "ZXIET", "ZVV", "IGZ", "ZZK"}


def reason(symbol: str, universe: Collection[str]) -> str:
    """The first rule that a symbol meets; empty if it is kept."""
    for name, rule in RULES:
        if rule(symbol, universe):
            return name
    return ""


def _test(symbol: str, universe) -> bool:
    if symbol in WHOLE or symbol.endswith(".TEST"):
        return True
    if len(symbol) == 5 and symbol[0] == "Z" and symbol[1] in UPPER and symbol[2:] == "ZZT":
        return True
    root, dot, letter = symbol.partition(".")
    named = len(root) == 5 and root[0] in "ABCMNPTZ" and root[1:] == "TEST"
    return named and (not dot or (len(letter) == 1 and letter in UPPER))


def _five(symbol: str, last: str) -> bool:
    return len(symbol) == 5 and set(symbol) <= UPPER and symbol[4] in last


def _preferred(symbol: str, universe) -> bool:
    if _five(symbol, "PONM") and symbol[:4] in universe:
        return True
    root = symbol[:-1] if symbol[-1:] in UPPER and symbol[-2:-1] == "p" else symbol
    return root.endswith("p") and len(root) > 1 and set(root[:-1]) <= UPPER | {"."}


def _warrant(symbol: str, universe) -> bool:
    classed = len(symbol) >= 5 and symbol[-5:-1] == ".WS." and symbol[-1] in UPPER
    return symbol.endswith((".W", ".WS")) or classed or _five(symbol, "W")


RULES = (
    ("test", _test),
    ("preferred", _preferred),
    ("warrant", _warrant),
    ("unit", lambda symbol, universe: symbol.endswith(".U") or _five(symbol, "U")),
    ("right", lambda symbol, universe: symbol.endswith(("r", ".R", ".RT")) or _five(symbol, "R")),
    ("when_issued", lambda symbol, universe: symbol.endswith(("w", ".WI", ".WD", ".CL", ".CV", ".PP"))),
    ("odd", lambda symbol, universe: not symbol or len(symbol) > 16 or not set(symbol) <= LETTERS | {"."}),
)

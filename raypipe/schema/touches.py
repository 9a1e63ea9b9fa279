"""Silver tables that signal families hand to each other: the session, its bars, ratio and greeks, and its touches."""

from __future__ import annotations

import datetime as dt

from raypipe.calendar import NS_PER_MINUTE, Session, at_exchange_time
from raypipe.schema.spec import Column, Known, Table
from raypipe.schema.tables import SESSION

__all__ = [
    "ES_BARS",
    "ES_SESSION",
    "ES_SPY_RATIO",
    "LEVEL_KINDS",
    "LEVEL_VECTOR",
    "LEVEL_WEIGHTS",
    "OPTION_GREEKS",
    "TOUCHES",
    "TOUCH_ALIASES",
    "TOUCH_KEY",
    "UNDERLYING",
    "globex_window",
]

#: The symbol whose price is seen through ES.
UNDERLYING = "SPY"
#: Names of the kinds of levels by code. Codes are frozen.
LEVEL_KINDS = (
    *("PM_HIGH", "PM_LOW", "OR_HIGH", "OR_LOW", "SESSION_HIGH", "SESSION_LOW", "SMA_200", "VWAP"),
    *("ROUND", "STRIKE", "CALL_WALL", "PUT_WALL", "SMA_400", "GAMMA_FLIP"),
)
#: Which of `signals.confluence.weights` a kind has, by code.
LEVEL_WEIGHTS = (
    *("pm", "pm", "opening_range", "opening_range", "session", "session", "sma", "vwap"),
    *("round", "strike", "wall", "wall", "sma", "gamma_flip"),
)
#: Columns of the level vector, whatever kinds are enabled.
LEVEL_VECTOR = (
    *("pm_high", "pm_low", "or_high", "or_low", "session_high", "session_low", "vwap"),
    *("call_wall", "put_wall", "gamma_flip", "call_wall_decayed", "put_wall_decayed"),
)
#: Key of every table that has one row per touch.
TOUCH_KEY = ("decision_ns", "level_kind", "level_price")
#: Columns that users know under a second name.
TOUCH_ALIASES = {"ts_event_ns": "ts_ns"}


def globex_window(session: Session) -> tuple[int, int]:
    """When bars and windows of a session begin and end: 18:00 of the day before to 17:00 New York time, in ns UTC.

    Examples
    --------
    >>> from raypipe.calendar import calendar
    >>> start, end = globex_window(calendar().session(dt.date(2025, 11, 3)))
    >>> (end - start) // (60 * NS_PER_MINUTE)
    23
    """
    before = session.date - dt.timedelta(days=1)
    return at_exchange_time(before, dt.time(18)), at_exchange_time(session.date, dt.time(17))


def _qa(name: str, dtype: str, doc: str, unit: str = "") -> Column:
    return Column(name, dtype, doc, unit, role="qa")


ES_SESSION = Table(
    "silver/es_session",
    key=("session",),
    grain="session",
    columns=(
        SESSION,
        _qa("date", "str", "The session as YYYY-MM-DD."),
        _qa("front_contract", "dict", "The contract that every table of the session is made from."),
        _qa("front_instrument_id", "u32", "Its number."),
        _qa("front_volume_rth", "i64", "Its contracts traded in regular hours.", "contracts"),
        _qa("outright_volume_rth", "i64", "Contracts of all outrights traded in regular hours.", "contracts"),
        _qa("front_dominance", "f64", "front_volume_rth / outright_volume_rth, on the basis of front_basis.", "1"),
        _qa("front_basis", "dict", "rth, or session if nothing traded in regular hours."),
        _qa("front_rule_agrees", "bool", "Whether volume of this session and of the one before name one contract."),
        _qa("early_close", "bool", "Whether regular hours end before 16:00."),
        _qa("rth_open_ns", "i64", "Start of regular hours.", "ns"),
        _qa("rth_close_ns", "i64", "End of regular hours.", "ns"),
        _qa("trade_coverage", "f64", "Share of regular minutes with a trade of the front contract.", "1"),
        _qa("dropped_spread_lots", "i64", "Contracts of spreads that were left out.", "contracts"),
    ),
    doc="One row per session: its front month and how complete it is. Facts of a finished session, never features.",
    known=Known("session", "session_end"),
)

ES_BARS = Table(
    "silver/es_bars",
    key=("contract", "start_ns"),
    grain="session",
    columns=(
        SESSION,
        Column("contract", "dict", "Raw symbol of the contract.", role="key"),
        Column("start_ns", "i64", "Start of the minute; the bar exists from its end.", "ns", role="key"),
        Column("open_ticks", "i32", "First price.", "ticks of 0.25 points"),
        Column("high_ticks", "i32", "Highest price.", "ticks of 0.25 points"),
        Column("low_ticks", "i32", "Lowest price.", "ticks of 0.25 points"),
        Column("close_ticks", "i32", "Last price.", "ticks of 0.25 points"),
        Column("volume", "i64", "Contracts traded.", "contracts"),
        Column("trades", "i32", "Trades.", "1"),
        Column("buy_volume", "i64", "Contracts whose aggressor bought.", "contracts"),
        Column("sell_volume", "i64", "Contracts whose aggressor sold.", "contracts"),
        Column("tick_volume", "i64", "Sum of price ticks x contracts.", "ticks x contracts"),
    ),
    doc="One-minute bars of the two outrights with most volume in the session, 18:00 to 17:00; empty minutes absent.",
    known=Known("start_ns", plus_ns=NS_PER_MINUTE),
)

ES_SPY_RATIO = Table(
    "silver/es_spy_ratio",
    key=("valid_from_ns",),
    grain="session",
    columns=(
        SESSION,
        Column(
            "valid_from_ns", "i64", "From when the ratio holds: the end of the minutes it is made of.", "ns", role="key"
        ),
        Column("ratio", "f64", "ES points per SPY dollar.", "points / usd"),
        Column("source", "dict", "spy, parity or fixed.", role="qa"),
        Column("obs", "i32", "Minutes that it is the median of; 0 if fixed.", "1", role="qa"),
    ),
    doc="ES points per SPY dollar by minute, from minutes that had ended.",
    known=Known("valid_from_ns"),
)

_NO_SPOT = "no ES trade before the print"

OPTION_GREEKS = Table(
    "silver/option_greeks",
    key=(),
    grain="session",
    columns=(
        SESSION,
        Column("ts_event_ns", "i64", "When the print was disseminated.", "ns", role="time"),
        Column("strike_e3", "i32", "Strike x 1000.", "usd / 1000"),
        Column("right", "dict", "C or P."),
        Column("size", "u32", "Contracts traded.", "contracts"),
        Column("aggressor", "i8", "1 buyer, -1 seller, 0 unknown or part of a package."),
        Column("spot", "f64", "Last ES trade before the print / the ratio then.", "usd", _NO_SPOT),
        Column("iv", "f64", "Implied volatility.", "1 / sqrt(year)", _NO_SPOT),
        Column(
            "iv_source", "dict", "solved, or fallback where no volatility explains the price.", null=_NO_SPOT, role="qa"
        ),
        Column("delta", "f64", "Change of the option's price per dollar of SPY.", "1", _NO_SPOT),
        Column("gamma", "f64", "Change of delta per dollar of SPY.", "1 / usd", _NO_SPOT),
        Column(
            "dealer_gamma",
            "f64",
            "-aggressor x size x gamma x 100: dealers' shares per dollar.",
            "shares / usd",
            _NO_SPOT,
        ),
        Column("gross_gamma", "f64", "size x gamma x 100.", "shares / usd", _NO_SPOT),
    ),
    doc="Greeks of every print of bronze/spy_option_trades, row by row in its order.",
    # No two prints have the same greeks: dictionaries are given up, after twice the time. Of spots there are few.
    split=("ts_event_ns", "iv", "delta", "gamma", "dealer_gamma", "gross_gamma"),
    known=Known("ts_event_ns"),
)

_VECTOR = {
    "pm_high": ("Highest trade from 04:00 to the open.", "before the open, or nothing traded then"),
    "pm_low": ("Lowest trade from 04:00 to the open.", "before the open, or nothing traded then"),
    "or_high": ("Highest trade of the opening range.", "before its end, unless or_forming; or nothing traded in it"),
    "or_low": ("Lowest trade of the opening range.", "before its end, unless or_forming; or nothing traded in it"),
    "session_high": ("Highest trade since the open, before the decision.", "no such trade"),
    "session_low": ("Lowest trade since the open, before the decision.", "no such trade"),
    "vwap": ("Mean price of contracts traded since the open, before the decision.", "no such trade"),
    "call_wall": ("Strike with most gross gamma of calls since the open.", "no strike has enough contracts"),
    "put_wall": ("Strike with most gross gamma of puts since the open.", "no strike has enough contracts"),
    "gamma_flip": ("Price at which dealers' net gamma by strike changes its sign.", "no such change near the price"),
    "call_wall_decayed": ("call_wall of prints weighted by age.", "no strike has enough contracts"),
    "put_wall_decayed": ("put_wall of prints weighted by age.", "no strike has enough contracts"),
}

TOUCHES = Table(
    "silver/touches",
    key=TOUCH_KEY,
    grain="session",
    columns=(
        SESSION,
        Column("event_id", "str", "SPY.date.level_id.direction.ts_ns.", role="id"),
        Column("ts_ns", "i64", "The touching trade, or the start of the touching bar.", "ns", role="time"),
        Column("decision_ns", "i64", "The touching trade, or the end of the bar.", "ns", role="time"),
        Column("date", "dict", "The session as YYYY-MM-DD.", role="meta"),
        Column("symbol", "dict", "SPY.", role="meta"),
        Column("front_contract", "dict", "The ES contract that prices are of.", role="meta"),
        Column("cadence", "dict", "event: from trades; bar: from one-minute bars.", role="meta"),
        _qa("front_dominance", "f64", "The front contract's share of all outrights, of the whole session.", "1"),
        _qa(
            "es_spy_ratio",
            "f64",
            "ES points per SPY dollar at the decision; of every dollar of the row.",
            "points / usd",
        ),
        _qa("es_spy_ratio_source", "dict", "spy, parity or fixed."),
        _qa("warmup_sma_sessions", "i8", "Sessions before that moving averages found, of those wanted.", "sessions"),
        _qa("warmup_volume_sessions", "i8", "Sessions before that volume curves find, of those wanted.", "sessions"),
        Column("spot", "f64", "es_price in dollars.", "usd"),
        Column("es_price", "f64", "The touching trade, or the close of the bar.", "points"),
        Column("level_price", "f64", "The level in dollars.", "usd", role="key"),
        Column("level_price_es", "f64", "The level in ES points.", "points"),
        Column("level_kind", "i8", "Code of the kind of level.", role="key"),
        Column("level_kind_name", "dict", "Name of the kind of level."),
        Column("level_id", "dict", "The kind's name; of ROUND and STRIKE with the price.", role="meta"),
        Column("touch_type", "dict", "contact: within touch_usd of the level; cross: jumped or closed beyond."),
        Column("direction", "dict", "UP: the level is resistance; DOWN: support."),
        Column("direction_sign", "i8", "1 for UP, -1 for DOWN: the direction of a break.", "1"),
        Column("distance", "f64", "|level_price - spot|.", "usd"),
        Column("distance_signed", "f64", "level_price - spot.", "usd"),
        *(Column(name, "f64", *_VECTOR[name][:1], "usd", *_VECTOR[name][1:]) for name in LEVEL_VECTOR),
    ),
    doc="Touches of levels by the price: trades up to and including the touching one are known, all else before it.",
)

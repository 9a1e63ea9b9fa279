"""What was known at each touch of a level: one family, put together from the groups in `raypipe.features.touch`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

import pyarrow as pa

from raypipe.calendar import Session
from raypipe.features.touch.group import Group, add_columns, found_groups, in_order
from raypipe.features.touch.scene import scene_of, warm_up
from raypipe.schema.books import BOOK_DEPTH, ES_MBP10, ES_TRADES
from raypipe.schema.family import Family, Inputs, Read, Result
from raypipe.schema.signals import SignalPart
from raypipe.schema.spec import Column, Table
from raypipe.schema.touches import ES_BARS, ES_SESSION, ES_SPY_RATIO, OPTION_GREEKS, TOUCH_KEY, TOUCHES

__all__ = ["FAMILY", "SIGNAL_FEATURES", "SignalFeaturesParams"]

#: Groups in the order of the table; others follow by name.
_ORDER = (
    *("context", "reversion", "barrier", "tape", "fuel", "dealer_flow", "stacked", "hierarchy", "pressure", "approach"),
    *("score", "runway", "transforms"),
)
_TRADES = ("ts_event_ns", "instrument_id", "price_ticks", "size", "side")
_BOOK = (
    *("ts_event_ns", "instrument_id", "price_ticks", "size", "side", "action", "flags"),
    *(
        f"{side}_{what}_{level:02d}"
        for level in range(BOOK_DEPTH)
        for what in ("ticks", "sz")
        for side in ("bid", "ask")
    ),
)
_BARS = ("contract", "start_ns", "open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume")
_FROM_TOUCHES = ("session", "event_id", *TOUCH_KEY)
_GROUPS = found_groups()


def _columns(groups: Mapping[str, Group]) -> Iterator[Column]:
    """The columns of all groups in stored order, each marked with its group."""
    known = [groups[name] for name in _ORDER if name in groups]
    for group in (*known, *(group for name, group in sorted(groups.items()) if name not in _ORDER)):
        yield from (replace(column, group=group.name) for column in group.columns)


@lru_cache(maxsize=1)
def _computed() -> tuple[Group, ...]:
    """The groups in the order in which they can be computed."""
    return in_order(_GROUPS)


SIGNAL_FEATURES = Table(
    "silver/signal_features",
    key=TOUCH_KEY,
    grain="session",
    columns=(
        *(TOUCHES[name] for name in _FROM_TOUCHES),
        *_columns(_GROUPS),
    ),
    doc="One row per touch: book, tape, gamma and levels as they stood just before decision_ns.",
    floats="split",
)


class SignalFeaturesParams(SignalPart):
    """Nothing of its own: of the section ``signals`` what the groups use."""

    GROUPS = tuple(sorted({"session", *(name for group in _GROUPS.values() for name in group.params)}))


def table(_: SignalFeaturesParams) -> Table:
    """The table provided: `silver/signal_features`."""
    return SIGNAL_FEATURES


def requires(params: SignalFeaturesParams) -> tuple[Read, ...]:
    """The session's touches, trades, book and greeks; its bars and those of the warm-up."""
    before = warm_up(params.signals)
    return (
        Read(TOUCHES.name),
        Read(ES_TRADES.name, _TRADES),
        Read(ES_MBP10.name, _BOOK, stream=True),
        Read(ES_BARS.name, _BARS, before=before),
        Read(ES_SESSION.name, ("front_contract", "front_instrument_id"), before=before),
        Read(OPTION_GREEKS.name, optional=not params.signals.session.require_options),
        Read(ES_SPY_RATIO.name, ("valid_from_ns", "ratio")),
    )


def compute(inputs: Inputs, params: SignalFeaturesParams) -> Result:
    """One row per touch, in their order."""
    parts = [_session(inputs, target, params) for target in inputs.targets]
    return Result(pa.concat_tables([SIGNAL_FEATURES.empty(), *parts]))


def _session(inputs: Inputs, target: Session, params: SignalFeaturesParams) -> pa.Table:
    touches = inputs.partitions(TOUCHES.name)[target.date]
    if not touches.num_rows:
        return SIGNAL_FEATURES.empty()
    made = add_columns(scene_of(inputs, target, params.signals), _computed())
    return SIGNAL_FEATURES.build({**{name: touches[name] for name in _FROM_TOUCHES}, **made})


FAMILY = Family(
    "signal_features",
    1,
    SignalFeaturesParams,
    table,
    requires,
    compute,
    step="signals",
    cost=0.7,
    memory=600 << 20,
    fuse="signals",
)

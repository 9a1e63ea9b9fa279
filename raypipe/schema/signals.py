"""What signals are asked for: the parameters of every signal family, one group for each subject.

They are one section of the configuration, ``signals``. A family states which groups it uses; only those count in its
fingerprint, so a changed label parameter rebuilds labels and what is joined from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from raypipe.schema.family import Params, shared

__all__ = ["SignalPart", "SignalsParams"]

_UNTRACKED: dict[str, Any] = {"track": False}


class SourceParams(Params):
    """Where vendors' files are, if not in the lake: a file, a folder or a glob each."""

    es_trades: str | None = Field(None, description="Databento trades of ES.")
    es_mbp10: str | None = Field(None, description="Databento MBP-10 of ES.")
    spy_options: str | None = Field(None, description="SPY option trades.")
    spy_reference: str | None = Field(None, description="Parquet or CSV with ts_ns, price; empty: bronze/minute_aggs.")

    @field_validator("*")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        """Paths as every worker understands them, whatever folder it runs in."""
        if value is None:
            return None
        return ",".join(str(Path(part.strip()).expanduser().absolute()) for part in value.split(",") if part.strip())


class OptionParams(Params):
    """Which option prints count, and whose side they took."""

    max_dte: int = Field(0, ge=0, le=30, description="Most sessions to expiry.")
    zero_tick: Literal["carry", "zero"] = "carry"
    drop_conditions: tuple[int, ...] = (201, 203, 205, 207)
    unsigned_conditions: tuple[int, ...] = tuple(range(232, 248))
    option_latency_ms: int = Field(0, ge=0, le=60_000)


class SessionParams(Params):
    """What a session needs before signals are made of it."""

    sma_warmup_sessions: int = Field(3, ge=0, le=7)
    volume_warmup_sessions: int = Field(7, ge=0, le=20)
    min_trade_coverage: float = Field(0.95, ge=0, le=1)
    min_book_coverage: float = Field(0.95, ge=0, le=1)
    min_option_coverage: float = Field(0.90, ge=0, le=1)
    require_options: bool = True


class FrontParams(Params):
    """Which contract is the front month."""

    rule: Literal["same_session", "prior_session"] = "same_session"
    warn_dominance: float = Field(0.90, ge=0, le=1)
    fail_dominance: float = Field(0.60, ge=0, le=1)


class RatioParams(Params):
    """How many ES points one SPY dollar is."""

    source: Literal["auto", "spy", "parity", "fixed"] = "auto"
    fixed: float = Field(10.0, gt=0)
    window_min: int = Field(30, ge=1, le=390)
    min_obs: int = Field(5, ge=1, le=390)
    low: float = Field(9.5, gt=0)
    high: float = Field(10.6, gt=0)
    parity_gap_s: float = Field(5.0, gt=0)
    parity_range_usd: float = Field(5.0, gt=0)
    parity_min_strikes: int = Field(3, ge=1)


class GreekParams(Params):
    """Black-Scholes and its inversion."""

    rate: float = 0.045
    dividend_yield: float = 0.0
    iv_fallback: float = Field(0.20, gt=0)
    iv_min: float = Field(0.01, gt=0)
    iv_max: float = Field(5.0, gt=0)
    min_time_value_usd: float = Field(0.01, ge=0)
    expiry_after_close_min: int = Field(15, ge=0, le=120)


class LevelParams(Params):
    """Which levels there are."""

    kinds: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12)
    or_minutes: int = Field(15, ge=1, le=390)
    or_forming: bool = False
    vwap_price: Literal["trade", "close", "typical"] = "trade"
    round_spacing_usd: float = Field(1.0, gt=0)
    strike_min_contracts: int = Field(100, ge=1)
    wall_min_contracts: int = Field(100, ge=1)
    wall_basis: Literal["cumulative", "decayed"] = "cumulative"
    wall_halflife_min: float = Field(30.0, gt=0)
    flip_range_usd: float = Field(10.0, gt=0)

    @field_validator("kinds")
    @classmethod
    def _known(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value) or not set(value) <= set(range(14)):
            msg = "kinds are distinct numbers from 0 to 13"
            raise ValueError(msg)
        return tuple(sorted(value))


class TouchParams(Params):
    """When the price touches a level."""

    cadence: Literal["event", "bar"] = "event"
    touch_usd: float = Field(0.10, gt=0)
    monitor_usd: float = Field(0.25, gt=0)
    rearm_usd: float = Field(0.25, gt=0)
    warm_start_min: int = Field(30, ge=0, le=930)


class BarrierParams(Params):
    """The book at a level."""

    window_s: float = Field(240.0, gt=0)
    zone_ticks: int = Field(8, ge=1, le=40)
    state_ratio: Literal["net", "gross"] = "net"
    r_vac: float = 0.3
    r_wall: float = 1.5
    delta_contracts: float = Field(100.0, ge=0)
    weak_depth: float = Field(50.0, ge=0)
    absorb_delta: float = Field(50.0, ge=0)
    absorb_churn: float = Field(100.0, ge=0)
    avg_window_s: float = Field(1800.0, gt=0)
    min_visible_frac: float = Field(0.5, gt=0, le=1)
    max_book_age_s: float = Field(60.0, gt=0)
    confidence_contracts: float = Field(500.0, gt=0)


class TapeParams(Params):
    """Trades near a level."""

    window_s: float = Field(60.0, gt=0)
    band_usd: float = Field(0.50, gt=0)
    sweep_gap_ms: float = Field(100.0, ge=0)
    sweep_min_prints: int = Field(2, ge=1)
    sweep_min_prices: int = Field(2, ge=1)
    sweep_min_contracts: int = Field(50, ge=1)
    sweep_min_notional_usd: float = Field(500_000.0, ge=0)
    confidence_contracts: float = Field(500.0, gt=0)


class FuelParams(Params):
    """Dealers' gamma near a level."""

    strike_range_usd: float = Field(2.0, gt=0)
    effect_gamma: float = Field(10_000.0, ge=0)
    wall_gamma: float = Field(50_000.0, ge=0)
    confidence_contracts: float = Field(1_000.0, gt=0)


class FlowParams(Params):
    """How fast dealers' gamma changes."""

    window_min: float = Field(5.0, gt=0)
    baseline_min: float = Field(20.0, gt=0)


class WeightParams(Params):
    """What a level of each kind weighs in confluence."""

    pm: float = Field(1.0, ge=0)
    opening_range: float = Field(0.9, ge=0)
    sma: float = Field(0.8, ge=0)
    vwap: float = Field(0.7, ge=0)
    session: float = Field(0.6, ge=0)
    wall: float = Field(1.0, ge=0)
    gamma_flip: float = Field(0.8, ge=0)
    strike: float = Field(0.4, ge=0)
    round: float = Field(0.3, ge=0)


class ConfluenceParams(Params):
    """Levels that meet, and the place of the price among them."""

    band_usd: float = Field(0.20, gt=0)
    weights: WeightParams = WeightParams()
    sma_proximity: float = Field(0.005, gt=0)
    wall_proximity_usd: float = Field(1.0, gt=0)
    rel_vol_high: float = 1.3
    rel_vol_low: float = 0.7
    first_hour_min: int = Field(60, ge=1, le=390)


class PressureParams(Params):
    """Scales on which pressures saturate."""

    delta_liq: float = Field(200.0, gt=0)
    wall_ratio: float = Field(2.0, gt=0)
    slope: float = Field(0.5, gt=0)
    gamma: float = Field(1e5, gt=0)
    flow: float = Field(5e4, gt=0)


class BarParams(Params):
    """Lengths in one-minute bars."""

    atr_bars: int = Field(14, ge=1, le=390)
    vol_min: int = Field(20, ge=2, le=390)


class ScoreWeights(Params):
    """What each part weighs in the score."""

    liquidity: float = Field(0.45, ge=0)
    hedge: float = Field(0.35, ge=0)
    tape: float = Field(0.20, ge=0)


class ScoreParams(Params):
    """The break score and the signal made of it."""

    weights: ScoreWeights = ScoreWeights()
    break_above: float = 80.0
    reject_below: float = 20.0
    hold_s: float = Field(3.0, ge=0)
    tau_s: float = Field(2.0, gt=0)
    snap_ms: int = Field(250, ge=10, le=10_000)
    lookback_s: float = Field(16.0, gt=0)
    contested_contracts: float = Field(500.0, ge=0)
    high: float = 0.7
    medium: float = 0.4


class ApproachParams(Params):
    """How the price came to the level, and how often before."""

    lookback_min: int = Field(10, ge=1, le=390)
    attempt_gap_min: float = Field(15.0, gt=0)
    attempt_price_usd: float = Field(0.10, ge=0)


class RunwayParams(Params):
    """What lies beyond the level."""

    reach_usd: float = Field(2.0, gt=0)


class LabelParams(Params):
    """From when outcomes are counted."""

    anchor: Literal["decision", "confirmation"] = "decision"
    max_stale_s: float = Field(60.0, gt=0)


class OutputParams(Params):
    """What stands in the joined table."""

    aliases: bool = True


class SignalsParams(Params):
    """All parameters of signals. For a family of its own, only ``output`` counts."""

    sources: SourceParams = Field(SourceParams(), json_schema_extra=_UNTRACKED)
    options: OptionParams = OptionParams()
    session: SessionParams = SessionParams()
    front: FrontParams = FrontParams()
    ratio: RatioParams = RatioParams()
    greeks: GreekParams = GreekParams()
    levels: LevelParams = LevelParams()
    touch: TouchParams = TouchParams()
    barrier: BarrierParams = BarrierParams()
    tape: TapeParams = TapeParams()
    fuel: FuelParams = FuelParams()
    flow: FlowParams = FlowParams()
    confluence: ConfluenceParams = ConfluenceParams()
    pressure: PressureParams = PressureParams()
    bars: BarParams = BarParams()
    score: ScoreParams = ScoreParams()
    approach: ApproachParams = ApproachParams()
    runway: RunwayParams = RunwayParams()
    labels: LabelParams = LabelParams()
    output: OutputParams = OutputParams()

    def tracked(self) -> dict[str, Any]:
        """Of all groups those that matter to the joined table; its inputs carry the others in their fingerprints."""
        return {"output": self.output.tracked()}


class SignalPart(Params):
    """Base of a signal family's parameters: the section ``signals``, of which the groups in `GROUPS` matter to it.

    Examples
    --------
    >>> class Tape(SignalPart):
    ...     GROUPS = ("tape",)
    >>> sorted(Tape().tracked())
    ['tape']
    """

    GROUPS: ClassVar[tuple[str, ...]] = ()
    signals: SignalsParams = shared("signals", SignalsParams)

    def tracked(self) -> dict[str, Any]:
        """The result-affecting values of its groups."""
        return {name: getattr(self.signals, name).tracked() for name in self.GROUPS}

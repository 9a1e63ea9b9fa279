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
    zero_tick: Literal["carry", "zero"] = Field(
        "carry", description="Sign of a print at an unchanged price: the last one's, or zero."
    )
    drop_conditions: tuple[int, ...] = Field((201, 203, 205, 207), description="Cancelled prints.")
    unsigned_conditions: tuple[int, ...] = Field(
        tuple(range(232, 248)), description="Prints whose price belongs to a package: no aggressor."
    )
    option_latency_ms: int = Field(0, ge=0, le=60_000, description="How much later prints are known.")


class SessionParams(Params):
    """What a session needs before signals are made of it."""

    sma_warmup_sessions: int = Field(3, ge=0, le=7, description="Sessions before that moving averages reach.")
    volume_warmup_sessions: int = Field(7, ge=0, le=20, description="Sessions of the volume curve.")
    min_trade_coverage: float = Field(0.95, ge=0, le=1, description="Share of minutes with a trade.")
    min_book_coverage: float = Field(0.95, ge=0, le=1, description="Share of minutes with a book.")
    min_option_coverage: float = Field(0.90, ge=0, le=1, description="Share of minutes with a print.")
    require_options: bool = Field(True, description="Off: sessions without prints count too.")


class FrontParams(Params):
    """Which contract is the front month."""

    rule: Literal["same_session", "prior_session"] = Field(
        "same_session", description="Whose volume chooses the front contract."
    )
    warn_dominance: float = Field(0.90, ge=0, le=1, description="A smaller share of volume warns.")
    fail_dominance: float = Field(0.60, ge=0, le=1, description="A smaller share fails the session.")


class RatioParams(Params):
    """How many ES points one SPY dollar is."""

    source: Literal["auto", "spy", "parity", "fixed"] = Field("auto", description="auto: spy, else parity, else fixed.")
    fixed: float = Field(10.0, gt=0, description="The ratio where nothing else is known.")
    window_min: int = Field(30, ge=1, le=390, description="Minutes of its median.")
    min_obs: int = Field(5, ge=1, le=390, description="Least minutes of the spy median.")
    low: float = Field(9.5, gt=0, description="Smaller estimates are refused.")
    high: float = Field(10.6, gt=0, description="Larger estimates are refused.")
    parity_gap_s: float = Field(5.0, gt=0, description="Most time between call and put.")
    parity_range_usd: float = Field(5.0, gt=0, description="How far strikes may be.")
    parity_min_strikes: int = Field(3, ge=1, description="Least strikes of a minute.")


class GreekParams(Params):
    """Black-Scholes and its inversion."""

    rate: float = Field(0.045, description="Yearly interest.")
    dividend_yield: float = Field(0.0, description="Yearly dividends.")
    iv_fallback: float = Field(0.20, gt=0, description="Volatility where none explains the price.")
    iv_min: float = Field(0.01, gt=0, description="Least volatility.")
    iv_max: float = Field(5.0, gt=0, description="Largest volatility.")
    min_time_value_usd: float = Field(0.01, ge=0, description="Less time value has no volatility.")
    expiry_after_close_min: int = Field(15, ge=0, le=120, description="Options trade on after the close.")


class LevelParams(Params):
    """Which levels there are."""

    kinds: tuple[int, ...] = Field(
        (0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), description="Codes of the kinds that are touched."
    )
    or_minutes: int = Field(15, ge=1, le=390, description="Length of the opening range.")
    or_forming: bool = Field(False, description="Whether the range counts while it forms.")
    vwap_price: Literal["trade", "close", "typical"] = Field("trade", description="Price that the vwap weighs.")
    round_spacing_usd: float = Field(1.0, gt=0, description="Distance of round levels.")
    strike_min_contracts: int = Field(100, ge=1, description="From when a strike is a level.")
    wall_min_contracts: int = Field(100, ge=1, description="Least contracts of a wall.")
    wall_basis: Literal["cumulative", "decayed"] = Field("cumulative", description="How walls weigh prints.")
    wall_halflife_min: float = Field(30.0, gt=0, description="Half-life of decayed walls.")
    flip_range_usd: float = Field(10.0, gt=0, description="How far the flip's strikes may be.")

    @field_validator("kinds")
    @classmethod
    def _known(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value) or not set(value) <= set(range(14)):
            msg = "kinds are distinct numbers from 0 to 13"
            raise ValueError(msg)
        return tuple(sorted(value))


class TouchParams(Params):
    """When the price touches a level."""

    cadence: Literal["event", "bar"] = Field("event", description="By trades, or by one-minute bars.")
    touch_usd: float = Field(0.10, gt=0, description="How near a touch is.")
    monitor_usd: float = Field(0.25, gt=0, description="How near a bar must close.")
    rearm_usd: float = Field(0.25, gt=0, description="How far the price must go before the next touch.")
    warm_start_min: int = Field(30, ge=0, le=930, description="When the watch starts before the open.")


class BarrierParams(Params):
    """The book at a level."""

    window_s: float = Field(240.0, gt=0, description="How far back flows are summed.")
    zone_ticks: int = Field(8, ge=1, le=40, description="Half width of the zone around a level.")
    state_ratio: Literal["net", "gross"] = Field("net", description="Whose ratio states go by.")
    r_vac: float = Field(0.3, description="A smaller ratio is a vacuum.")
    r_wall: float = Field(1.5, description="A larger ratio is a wall.")
    delta_contracts: float = Field(100.0, ge=0, description="Least change of both.")
    weak_depth: float = Field(50.0, ge=0, description="Less depth is weak.")
    absorb_delta: float = Field(50.0, ge=0, description="Least change that is no absorption.")
    absorb_churn: float = Field(100.0, ge=0, description="Least churn of an absorption.")
    avg_window_s: float = Field(1800.0, gt=0, description="Over how long level sizes are averaged.")
    min_visible_frac: float = Field(0.5, gt=0, le=1, description="Least visible share of the zone.")
    max_book_age_s: float = Field(60.0, gt=0, description="Older books are not seen.")
    confidence_contracts: float = Field(500.0, gt=0, description="Churn of full confidence.")


class TapeParams(Params):
    """Trades near a level."""

    window_s: float = Field(60.0, gt=0, description="How far back trades count.")
    band_usd: float = Field(0.50, gt=0, description="How near they must be.")
    sweep_gap_ms: float = Field(100.0, ge=0, description="Longest pause within a sweep.")
    sweep_min_prints: int = Field(2, ge=1, description="Least prints.")
    sweep_min_prices: int = Field(2, ge=1, description="Least distinct prices.")
    sweep_min_contracts: int = Field(50, ge=1, description="Least contracts.")
    sweep_min_notional_usd: float = Field(500_000.0, ge=0, description="Least notional.")
    confidence_contracts: float = Field(500.0, gt=0, description="Contracts of full confidence.")


class FuelParams(Params):
    """Dealers' gamma near a level."""

    strike_range_usd: float = Field(2.0, gt=0, description="How near strikes must be.")
    effect_gamma: float = Field(10_000.0, ge=0, description="From where gamma has an effect.")
    wall_gamma: float = Field(50_000.0, ge=0, description="Least gamma of a wall.")
    confidence_contracts: float = Field(1_000.0, gt=0, description="Contracts of full confidence.")


class FlowParams(Params):
    """How fast dealers' gamma changes."""

    window_min: float = Field(5.0, gt=0, description="Window of the velocity.")
    baseline_min: float = Field(20.0, gt=0, description="Window that it is held against.")


class WeightParams(Params):
    """What a level of each kind weighs in confluence."""

    pm: float = Field(1.0, ge=0, description="Pre-market extremes.")
    opening_range: float = Field(0.9, ge=0, description="Opening range.")
    sma: float = Field(0.8, ge=0, description="Moving averages.")
    vwap: float = Field(0.7, ge=0, description="Volume-weighted average.")
    session: float = Field(0.6, ge=0, description="Extremes of the session.")
    wall: float = Field(1.0, ge=0, description="Walls.")
    gamma_flip: float = Field(0.8, ge=0, description="Gamma flip.")
    strike: float = Field(0.4, ge=0, description="Strikes.")
    round: float = Field(0.3, ge=0, description="Round prices.")


class ConfluenceParams(Params):
    """Levels that meet, and the place of the price among them."""

    band_usd: float = Field(0.20, gt=0, description="How near levels meet.")
    weights: WeightParams = WeightParams()
    sma_proximity: float = Field(0.005, gt=0, description="Share of the price that is close.")
    wall_proximity_usd: float = Field(1.0, gt=0, description="How near a wall is.")
    rel_vol_high: float = Field(1.3, description="From where volume is high.")
    rel_vol_low: float = Field(0.7, description="Up to where volume is low.")
    first_hour_min: int = Field(60, ge=1, le=390, description="Length of the first hour.")


class PressureParams(Params):
    """Scales on which pressures saturate."""

    delta_liq: float = Field(200.0, gt=0, description="Of barrier_delta_liq, contracts.")
    wall_ratio: float = Field(2.0, gt=0, description="Of wall_ratio.")
    slope: float = Field(0.5, gt=0, description="Of tape_slope_3s, points per second.")
    gamma: float = Field(1e5, gt=0, description="Of gamma, shares per dollar.")
    flow: float = Field(5e4, gt=0, description="Of gamma flow, shares per dollar and minute.")


class BarParams(Params):
    """Lengths in one-minute bars."""

    atr_bars: int = Field(14, ge=1, le=390, description="Bars of the average true range.")
    vol_min: int = Field(20, ge=2, le=390, description="Bars of the reversion's spread.")


class ScoreWeights(Params):
    """What each part weighs in the score."""

    liquidity: float = Field(0.45, ge=0, description="Weight of the book.")
    hedge: float = Field(0.35, ge=0, description="Weight of dealers' hedging.")
    tape: float = Field(0.20, ge=0, description="Weight of trades.")


class ScoreParams(Params):
    """The break score and the signal made of it."""

    weights: ScoreWeights = ScoreWeights()
    break_above: float = Field(80.0, description="A higher score means a break.")
    reject_below: float = Field(20.0, description="A lower score means a rejection.")
    hold_s: float = Field(3.0, ge=0, description="For how long it must hold.")
    tau_s: float = Field(2.0, gt=0, description="Time constant of smoothing.")
    snap_ms: int = Field(250, ge=10, le=10_000, description="Grid of smoothing.")
    lookback_s: float = Field(16.0, gt=0, description="How far back smoothing goes.")
    contested_contracts: float = Field(500.0, ge=0, description="Least contracts of a contest.")
    high: float = Field(0.7, description="From where confidence is high.")
    medium: float = Field(0.4, description="From where it is medium.")


class ApproachParams(Params):
    """How the price came to the level, and how often before."""

    lookback_min: int = Field(10, ge=1, le=390, description="How far back an approach goes.")
    attempt_gap_min: float = Field(15.0, gt=0, description="A longer pause starts new attempts.")
    attempt_price_usd: float = Field(0.10, ge=0, description="So does a larger move of the level.")


class RunwayParams(Params):
    """What lies beyond the level."""

    reach_usd: float = Field(2.0, gt=0, description="How far obstacles are looked for.")


class LabelParams(Params):
    """From when outcomes are counted."""

    anchor: Literal["decision", "confirmation"] = Field(
        "decision", description="Windows begin at the decision or at the confirmation."
    )
    max_stale_s: float = Field(60.0, gt=0, description="Oldest price that counts.")


class OutputParams(Params):
    """What stands in the joined table."""

    aliases: bool = Field(True, description="Whether columns stand under other names too.")


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

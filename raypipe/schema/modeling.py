"""What models are made with: the parameters of panels, targets, splits, selection, search, stacking and hold-outs.

Each class is one section of the configuration. They stand together because most steps of modelling read several.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from raypipe.schema.family import Params

__all__ = [
    "SECTIONS",
    "CvParams",
    "HoldoutParams",
    "PanelParams",
    "SelectionParams",
    "StackParams",
    "TargetParams",
    "TuneParams",
]

_UNTRACKED: dict[str, Any] = {"track": False}
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class PanelParams(Params):
    """What `gold/model_panel` is joined from."""

    tables: tuple[str, ...] = Field(("gold/panel_technical",), description="Tables keyed (symbol, session).")
    keep_levels: bool = Field(False, description="Whether columns in USD or shares stay: they name the symbol.")
    market_means: tuple[str, ...] = Field(
        ("momentum_1d", "momentum_5d", "momentum_20d", "volatility_20d", "rsi_14d"),
        description="Columns whose mean over the symbols of a session is a feature too.",
    )
    symbols_file: str = Field("configs/symbols_46.txt", description="The symbols, one per line, in their order.")


class TargetParams(Params):
    """What targets are made of."""

    bars: Literal["silver/bars_1d", "silver/daily"] = Field(
        "silver/bars_1d", description="Daily bars: total returns, or those of split-adjusted prices."
    )


class CvParams(Params):
    """How sessions are cut into training and test parts."""

    scheme: Literal["walk_forward", "purged_kfold", "cpcv"] = Field("walk_forward", description="Which scheme.")
    window: Literal["expanding", "rolling"] = Field("expanding", description="Walk-forward: what trains.")
    n_folds: int = Field(5, ge=2, le=100, description="Test blocks.")
    min_train_sessions: Count = Field(252, description="Least sessions of the block that only trains.")
    train_sessions: Count = Field(756, description="Sessions that train when the window rolls.")
    test_sessions: Count | None = Field(None, description="Sessions of a test block; empty: n_folds decides.")
    embargo_sessions: int = Field(5, ge=0, description="Sessions left out after a test block, and labels before it.")
    n_groups: int = Field(6, ge=2, le=20, description="cpcv: groups of sessions.")
    test_groups: int = Field(2, ge=1, le=10, description="cpcv: groups that a split tests.")
    min_symbol_share: Share = Field(0.5, description="Share of symbols usable on the first session.")
    min_feature_share: Share = Field(0.5, description="Share of features that a usable row has.")
    min_fold_rows: Count = Field(200, description="Least pooled rows of each part of a fold.")


class SelectionParams(Params):
    """Which features a model may see; everything is fitted on training rows."""

    scope: Literal["pooled", "symbol"] = Field("pooled", description="Rank over all symbols, or for each.")
    max_null_share: Share = Field(0.30, description="Most nulls of a feature.")
    max_constant_share: Share = Field(0.995, description="Most rows with one and the same value.")
    max_abs_rho: Share = Field(0.98, description="Most rank correlation of two features.")
    min_stability: Share = Field(0.6, description="Share of inner fits in which a feature beats the shadows.")
    min_features: Count = Field(10, description="So many stay in any case.")
    max_features: Count = Field(250, description="No more than these stay.")


class TuneParams(Params):
    """How configurations are searched."""

    target: str = Field(
        "", description="What a run makes models of; empty: it makes none.", json_schema_extra=_UNTRACKED
    )
    algorithms: tuple[str, ...] = Field(("xgboost", "catboost", "lightgbm"), description="Model families or aliases.")
    n_configs: Count = Field(50, description="Configurations of a study.")
    space: Literal["safe", "wide"] = Field("safe", description="Which ranges, unless an alias says so.")
    seed: int = Field(42, ge=0, description="Seed of everything.")
    threads: Count = Field(1, description="Threads of a fit.", json_schema_extra=_UNTRACKED)
    max_concurrent: Count | None = Field(None, description="Studies at a time.", json_schema_extra=_UNTRACKED)
    pooled: bool = Field(True, description="Whether each algorithm has a study over all symbols.")
    per_symbol: bool = Field(True, description="Whether each algorithm has a study for each symbol.")
    prune: bool = Field(True, description="Whether configurations that lose are stopped between folds.")
    early_stop: Literal["tail", "none"] = Field("tail", description="Rounds from a tail of training, or as drawn.")
    windows: bool = Field(False, description="Whether windows of indicators are searched too.")

    @field_validator("algorithms")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) < len(value):
            msg = f"algorithms are {list(value)}; name each once, at least one"
            raise ValueError(msg)
        return value


class StackParams(Params):
    """How the bases become one prediction."""

    strategy: Literal["auto", "mean", "logistic", "meta-mlp"] = Field("auto", description="auto: mean unless beaten.")
    transform: Literal["logit", "rank"] = Field("logit", description="rank erases what the symbols share.")
    l2: float = Field(0.1, ge=0, description="How hard logistic weights are held to their mean.")
    regime_columns: tuple[str, ...] = Field((), description="Columns of gold/regime that the meta-learner sees.")


class HoldoutParams(Params):
    """What a bundle must show on sessions that nothing has seen."""

    start: dt.date | None = Field(None, description="First session; empty: the last 252 that have labels.")
    end: dt.date | None = Field(None, description="Last session; empty: the last that has labels.")
    threshold_auc: Share = Field(0.60, description="Least AUC.")
    threshold_sharpe: float = Field(0.0, description="Net Sharpe ratio to exceed.")
    threshold_dsr: Share = Field(0.95, description="Least deflated Sharpe ratio.")
    threshold_pbo: Share = Field(0.5, description="Probability of overfitting to stay below.")
    max_best_of_n: Share = Field(0.05, description="Most p-value of the best of N configurations.")
    min_sessions: Count = Field(60, description="Fewer sessions judge nothing.")
    half_spread_bps: float = Field(2.0, ge=0, description="Cost of a unit traded: half the spread.")
    slippage_bps: float = Field(2.0, ge=0, description="Cost of a unit traded: slippage.")
    commission_bps: float = Field(1.0, ge=0, description="Cost of a unit traded: commission.")
    borrow_bps_year: float = Field(50.0, ge=0, description="Cost of a unit short, a year.")


#: Sections of the configuration that belong to no stage.
SECTIONS: dict[str, type[Params]] = {
    "panel": PanelParams,
    "target": TargetParams,
    "cv": CvParams,
    "selection": SelectionParams,
    "tune": TuneParams,
    "stack": StackParams,
    "holdout": HoldoutParams,
}

"""Who asks for configurations: Optuna's TPE, made anew for each of them.

What configuration i asks for depends on the study's seed, on i and on what is known before, and on nothing else. So a
study that was killed and goes on from its journal asks for the same as one that was not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from raypipe.training.journal import ConfigResult

if TYPE_CHECKING:
    from optuna.samplers import TPESampler

__all__ = ["Asker", "hashed_seed"]

#: Configurations that are drawn at random before the sampler models what it has seen.
STARTUP = 10
#: numpy takes seeds of 32 bits.
_SEED_BITS = (1 << 32) - 1


def hashed_seed(*parts: str | int) -> int:
    """A seed of 64 bits: the first 8 bytes of the SHA-256 of the parts as a JSON list.

    Examples
    --------
    >>> hashed_seed(42, "direction_5d", "xgboost", "_pooled") == hashed_seed(42, "direction_5d", "xgboost", "_pooled")
    True
    """
    text = json.dumps(parts, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


class Asker:
    """Asks for configurations of one study and is told what came of them.

    Parameters
    ----------
    distributions
        Optuna's, by name.
    seed
        The study's.
    """

    def __init__(self, distributions: Mapping[str, Any], seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._distributions, self._seed = dict(distributions), seed
        self._study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
        self._asked: Any = None

    def ask(self, i: int) -> tuple[dict[str, Any], Literal["random", "tpe"]]:
        """Parameters of configuration i, and whether they were drawn at random or by the model."""
        from optuna.trial import TrialState

        self._study.sampler = _sampler(self._distributions, hashed_seed(self._seed, i) & _SEED_BITS)
        seen = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        self._asked = self._study.ask(self._distributions)
        return dict(self._asked.params), "random" if len(seen) < STARTUP else "tpe"

    def tell(self, result: ConfigResult) -> None:
        """Add what is known of a configuration, whether it was asked for here, by a killed process, or given."""
        from optuna.trial import TrialState, create_trial

        states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        state = states[result.state]
        steps: dict[int, float] = {}
        if result.state == "pruned" and result.value is not None:
            steps = {sum(v is not None for v in result.fold_value): result.value}
        if self._asked is None:
            trial = create_trial(
                state=state,
                value=result.value if result.state == "complete" else None,
                params=dict(result.params),
                distributions=self._distributions,
                intermediate_values=steps,
            )
            self._study.add_trial(trial)
            return
        for step, value in steps.items():
            self._asked.report(value, step)
        self._study.tell(self._asked, result.value if result.state == "complete" else None, state=state)
        self._asked = None


def _sampler(distributions: Mapping[str, Any], seed: int) -> TPESampler:
    """The sampler, told which dimensions there are: it would compare those of all trials for every configuration."""
    from optuna.samplers import TPESampler

    space = {name: one for name, one in sorted(distributions.items()) if not one.single()}

    class Sampler(TPESampler):
        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:  # noqa: ARG002 -- see above
            return space

    # Nobody else asks this study, so there is nobody to be lied to; without, asking takes half the time.
    return Sampler(multivariate=True, n_startup_trials=STARTUP, seed=seed, constant_liar=False)

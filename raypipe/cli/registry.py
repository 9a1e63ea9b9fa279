"""``raypipe promote`` and ``raypipe rollback``: which version of a model is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.app import App
from raypipe.cli.options import command
from raypipe.cli.present import table
from raypipe.errors import UsageError

if TYPE_CHECKING:
    from raypipe.training.registry import Promotion

__all__ = ["promote", "rollback"]


@command(
    "promote",
    "Put a judged bundle in use under a name, if its stored metrics pass every gate.",
    click.Option(["--model-path"], metavar="DIR|URI", help="The bundle, with its holdout_metrics.json."),
    click.Option(["--name"], metavar="NAME", help="Name of the model in the registry."),
    click.Option(["--approve"], is_flag=True, help="Really do it; without it nothing is changed."),
    click.Option(["--dry-run"], is_flag=True, help="Change nothing, even with --approve."),
    click.Option(["--dry-run-prod"], is_flag=True, help="The same; also says what is in use now."),
)
def promote(app: App, model_path: str | None, name: str | None, **options: Any) -> int:
    """Decide about a bundle, and put it in use."""
    from raypipe.training.registry import promote as decide

    if not model_path or not name:
        msg = "--model-path and --name are both needed"
        raise UsageError(msg, hint="for example raypipe promote --model-path ensemble/meta_mlp --name vol --approve")
    dry = options["dry_run"] or options["dry_run_prod"]
    config = app.lake_config()
    decision = decide(config.lake.location, model_path, name, approve=options["approve"] and not dry)
    app.show(_document(decision), [*_table(decision), "", *_said(decision, show_use=options["dry_run_prod"])])
    return decision.exit_code


def _document(decision: Promotion) -> dict[str, Any]:
    return {
        "name": decision.name,
        "bundle_sha256": decision.bundle_sha256,
        "verdict": decision.verdict,
        "gates": [gate.to_dict() for gate in decision.gates],
        "before": decision.before.to_dict() if decision.before else None,
        "version": decision.version,
    }


def _table(decision: Promotion) -> list[str]:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.4g}"

    rows = [
        (gate.name, number(gate.value), number(gate.threshold), "pass" if gate.passed else "FAIL", gate.reason)
        for gate in decision.gates
    ]
    return table(("gate", "value", "threshold", "", "why"), rows, right=frozenset({1, 2}))


def _said(decision: Promotion, *, show_use: bool) -> list[str]:
    use = decision.before.version if decision.before else "nothing"
    lines = [f"in use: {use}"] if show_use else []
    if decision.verdict == "fail":
        return [*lines, "not promoted: a gate fails, and there is no way round it"]
    if decision.version is None:
        return [*lines, f"would be promoted; {use} stays in use until you add --approve"]
    return [*lines, f"{decision.name} {decision.version} is in use, bundle {decision.bundle_sha256[:12]}"]


@command(
    "rollback",
    "Put the version before, or any other, in use again; nothing is deleted.",
    click.Option(["--name"], metavar="NAME", help="Name of the model in the registry."),
    click.Option(["--to"], metavar="vNNNN", help="Which version; the one that was in use before otherwise."),
    click.Option(["--approve"], is_flag=True, help="Really do it; without it nothing is changed."),
)
def rollback(app: App, name: str | None, to: str | None, *, approve: bool) -> int:
    """Go back to an earlier version."""
    from raypipe.training.registry import rollback as go_back

    if not name:
        msg = "--name is missing"
        raise UsageError(msg, hint="for example raypipe rollback --name vol")
    done = go_back(app.lake_config().lake.location, name, to=to, approve=approve)
    document = {"name": name, "from": done.before.version, "to": done.to, "done": done.done}
    said = "is in use again" if done.done else "would be in use again: add --approve"
    app.show(document, [f"{name} {done.to} {said}; before: {done.before.version}"])
    return 0

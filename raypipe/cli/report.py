"""``raypipe report``: the page of a run, or of what differs between two."""

from __future__ import annotations

from pathlib import Path

import click

from raypipe.cli.app import App
from raypipe.cli.options import PATH, command
from raypipe.errors import UsageError

__all__ = ["report"]


@command(
    "report",
    "Write the HTML report of a run, as the lake is now; or of what differs between two runs.",
    click.Option(["--run-id"], metavar="ID", help="That run instead of the last one."),
    click.Option(["--compare"], nargs=2, metavar="RUN_A RUN_B", help="What differs between two runs."),
    click.Option(["--out"], type=PATH, metavar="FILE", help="Write it here instead of beside the run's record."),
)
def report(app: App, run_id: str | None, compare: tuple[str, str] | None, out: Path | None) -> int:
    """Render the page and say where it is."""
    if compare:
        if run_id:
            msg = "--run-id and --compare exclude each other"
            raise UsageError(msg)
        return _compare(app, compare, out)
    config = app.lake_config()
    from raypipe.pipeline.views import page_of_run, save_page

    name, page = page_of_run(config, run_id)
    if out:
        out.write_text(page, encoding="utf-8")
    where = str(out) if out else f"{config.lake.location.root}/{save_page(config, name, page)}"
    app.show({"run_id": name, "report": where}, [f"report: {where}"])
    return 0


def _compare(app: App, runs: tuple[str, str], out: Path | None) -> int:
    config = app.lake_config()
    from raypipe.cli.present import safe
    from raypipe.pipeline.compare import compare_lake_runs
    from raypipe.pipeline.views import save_comparison
    from raypipe.report.compare import render_comparison, verdict_of

    found = compare_lake_runs(config, *runs)
    page = render_comparison(found)
    if out:
        out.write_text(page, encoding="utf-8")
    where = str(out) if out else f"{config.lake.location.root}/{save_comparison(config, runs, page)}"
    app.show({**found, "report": where}, [safe(verdict_of(found)[1]), f"report: {where}"])
    return 0

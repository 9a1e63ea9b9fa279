"""``raypipe report``: the page of a run."""

from __future__ import annotations

from pathlib import Path

import click

from raypipe.cli.app import App
from raypipe.cli.options import PATH, command

__all__ = ["report"]


@command(
    "report",
    "Write the HTML report of a run, as the lake is now.",
    click.Option(["--run-id"], metavar="ID", help="That run instead of the last one."),
    click.Option(["--out"], type=PATH, metavar="FILE", help="Write it here instead of beside the run's record."),
)
def report(app: App, run_id: str | None, out: Path | None) -> int:
    """Render the page and say where it is."""
    config = app.lake_config()
    from raypipe.pipeline.views import page_of_run, save_page

    name, page = page_of_run(config, run_id)
    if out:
        out.write_text(page, encoding="utf-8")
    where = str(out) if out else f"{config.lake.location.root}/{save_page(config, name, page)}"
    app.show({"run_id": name, "report": where}, [f"report: {where}"])
    return 0

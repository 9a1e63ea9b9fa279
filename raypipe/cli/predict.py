"""``raypipe predict``: what the model in use says of sessions of the panel."""

from __future__ import annotations

import datetime as dt
from typing import Any

import click

from raypipe.cli.app import App
from raypipe.cli.modeling import symbols_option
from raypipe.cli.options import DATE, check_range, command, range_options
from raypipe.cli.present import table
from raypipe.errors import UsageError
from raypipe.report.page import counted

__all__ = ["predict"]

_SHOWN = 20


@command(
    "predict",
    "Predict every row of sessions of gold/model_panel by the model in use, into gold/predictions.",
    click.Option(["--name"], metavar="NAME", help="Name of the model in the registry, or NAME@v0002."),
    click.Option(["--session"], type=DATE, metavar="DATE", help="One session; the newest one otherwise."),
    *range_options(),
    symbols_option(),
    click.Option(["--force"], is_flag=True, help="Again, and instead of another model's."),
)
def predict(app: App, name: str | None, session: dt.date | None, **options: Any) -> int:
    """Predict sessions."""
    from raypipe.training.predict import predict_stored

    start, end = options["start"], options["end"]
    if not name or (session and (start or end)):
        msg = "--session and a range exclude each other" if name else "--name is missing"
        raise UsageError(msg, hint="for example raypipe predict --name vol --session 2023-06-01")
    check_range(start, end)
    config = app.lake_config(panel__symbols_file=options["symbols_file"])
    first, last = (session, session) if session else (start, end)
    source, done = predict_stored(config, name, start=first, end=last, force=options["force"])
    document = {
        "name": source.name,
        "version": source.version,
        "bundle_sha256": source.bundle.sha256,
        "sessions": [
            {"session": one.session, "status": one.status, "rows": one.rows, "silent": one.silent} for one in done
        ],
    }
    rows = [(one.session, one.status, one.rows, one.silent) for one in done[-_SHOWN:]]
    lines = table(("session", "", "rows", "silent"), rows, right=frozenset({2, 3}))
    built = sum(one.status == "built" for one in done)
    said = f"{source.name} {source.version}: {counted(built, 'session')} predicted, {len(done) - built} current"
    app.show(document, [*lines, "", said])
    return 0

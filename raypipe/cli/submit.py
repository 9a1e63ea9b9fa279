"""``raypipe submit``: a command as a Ray job. What talks to Ray lives in ``tasks`` and is looked up by name."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from raypipe.cli.app import App
from raypipe.cli.options import command

__all__ = ["submit"]


@command(
    "submit",
    "Run a command as a Ray job, follow it, and exit with its real code (143 if it was stopped). "
    "For example: raypipe submit --working-dir . -- python -m tasks.backfill --root s3://my-lake --start 2022-01-03",
    click.Option(["--address"], metavar="URL", help="Ray's dashboard (also RAY_API_SERVER_ADDRESS)."),
    click.Option(["--working-dir"], metavar="DIR", help="Folder to upload; none where the image has everything."),
    click.Option(["--submission-id"], metavar="ID", help="A name of your own, which no second job can take."),
    click.Option(["--no-wait"], is_flag=True, help="Do not follow the job."),
    click.Argument(["entrypoint"], nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND..."),
)
def submit(app: App, entrypoint: tuple[str, ...], no_wait: bool, **options: Any) -> int:
    """Submit and follow."""
    from raypipe.redact import redact

    edge = importlib.import_module("tasks.submit")
    stream = sys.stderr if app.options.json else sys.stdout

    def output(piece: str) -> None:
        stream.write(redact(piece))
        stream.flush()

    wish = edge.Submission(entrypoint, wait=not no_wait, **options)
    code: int = edge.submit(wish, say=app.notes.info, output=output)
    app.show({"exit_code": code, "waited": not no_wait}, ())
    return code

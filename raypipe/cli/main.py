"""The entry point: commands by name, loaded when used, and the one place where errors become exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from raypipe import __version__
from raypipe.cli.app import App
from raypipe.cli.interrupts import terminable
from raypipe.cli.options import global_options
from raypipe.errors import RaypipeError

__all__ = ["COMMANDS", "cli", "main"]

#: Per section of the help, each command's module and one line. The object is named after the command.
COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Get data": {
        "synth": ("synth", "Write a synthetic market in the vendor's formats, with planted answers."),
        "ingest": ("ingest", "Fetch flat files from any S3 endpoint, or adopt files on disk."),
        "check-missing": ("check_missing", "Compare sessions, listing, files and bronze."),
    },
    "Build": {
        "plan": ("run", "Show what a run would build, and why; changes nothing."),
        "run": ("run", "Build what is missing or stale."),
        "retry": ("run", "Build exactly what the last run left undone."),
        "submit": ("submit", "Run a command as a Ray job and exit with its real code."),
        "build": ("build", "Build books and option prints from files that you name."),
        "signals": ("signals", "Touches of levels, features and outcomes from order books; and their export."),
        "clean-symbols": ("symbols", "Decide which symbols of a session are tradable."),
    },
    "Model": {
        "splits": ("splits", "Cut sessions into folds that no label crosses, or verify a file of them."),
        "select": ("select", "Choose the features of each fold, by nothing but the rows that train in it."),
        "tune": ("tune", "Search configurations of models, over all symbols and for each."),
        "train": ("train", "Fit one model without a search, and say how it did on unseen rows."),
        "stack": ("stack", "Stack the winners of a run, refit them, and write a bundle."),
        "holdout": ("holdout", "Judge a bundle on sessions that it was neither trained nor chosen on."),
        "promote": ("registry", "Put a judged bundle in use, if every gate passes."),
        "rollback": ("registry", "Put an earlier version of a model in use again."),
        "predict": ("predict", "Predict sessions by the model in use, into gold/predictions."),
        "pin": ("pin", "Name a data set by the hashes of its files, or hold it against them."),
    },
    "Look": {
        "status": ("status", "Draw every table over its sessions."),
        "tables": ("tables", "Explain every table and column."),
        "columns": ("columns", "Count nulls and distinct values of columns, and name those that never vary."),
        "export": ("export", "Write tables as plain files under the names users know."),
        "report": ("report", "Write the HTML report of a run."),
    },
    "Keep": {
        "verify": ("maintain", "Read the lake and prove that every file is whole."),
        "audit": ("audit", "Prove on your lake that no value knows the future."),
        "gc": ("maintain", "Sweep temporaries and unfinished uploads."),
        "config": ("config", "Show the configuration and where each value came from."),
        "doctor": ("doctor", "Check this machine, the lake and the cluster."),
        "demo": ("demo", "Synthetic market to finished lake and report; no account, no network."),
        "completion": ("completion", "Print a completion script for a shell."),
    },
}
_MODULES = {name: module for section in COMMANDS.values() for name, (module, _) in section.items()}

EPILOG = """\b
Exit codes: 0 done or nothing to do, 1 some items failed, 2 usage or configuration,
3 data-quality gate, 4 input not there yet, 5 storage or cluster unavailable,
130 interrupted, 143 terminated."""


class _Lazy(click.Group):
    """Loads the module of a command when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _MODULES:
            return None
        module = importlib.import_module(f"raypipe.cli.{_MODULES[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _MODULES and not args[0].startswith("-"):
            raise click.exceptions.NoSuchCommand(args[0], possibilities=_MODULES, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        for section, commands in COMMANDS.items():
            with formatter.section(section):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])


@click.group(
    cls=_Lazy,
    params=global_options(),
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="raypipe", message="%(prog)s %(version)s")
def cli() -> None:
    """Build a cached, queryable lake of market data from raw vendor files, on one machine or on Ray.

    Options below may also follow the command. Start with: raypipe demo
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    args
        Arguments; those of the process if None.

    Returns
    -------
    The exit code.
    """
    app = App(tuple(sys.argv[1:] if args is None else args))
    try:
        with terminable():
            code = _dispatch(app)
        app.close()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output went away, as in `raypipe tables | head`: nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


def _dispatch(app: App) -> int:
    try:
        result: Any = cli.main(list(app.args), prog_name="raypipe", standalone_mode=False, obj=app)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        return app.fail(_usage(error))
    except (click.Abort, KeyboardInterrupt):
        return app.interrupted()
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the last boundary: a bug must not reach the user as a traceback
        return app.fail(error)
    return result if isinstance(result, int) else 0


def _usage(error: click.ClickException) -> RaypipeError:
    """A mistake in the arguments, as one of ours."""
    from raypipe.errors import UsageError

    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "raypipe"
    text = error.format_message().rstrip(".")
    return UsageError(text[:1].lower() + text[1:], hint=f"see: {command} --help")

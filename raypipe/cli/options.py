"""What commands are made of: options that every command takes, dates, and options with several words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from raypipe.cli.app import App
from raypipe.errors import UsageError

__all__ = ["DATE", "PATH", "RaypipeCommand", "Words", "command", "dates_option", "global_options", "range_options"]

PATH = click.Path(path_type=Path)


class DateType(click.ParamType[dt.date]):
    """``YYYY-MM-DD`` and nothing else."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.date:
        """Read a date strictly."""
        if isinstance(value, dt.date):
            return value
        try:
            if len(value) == len("YYYY-MM-DD"):
                return dt.datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=dt.UTC).date()
        except ValueError:
            pass
        msg = f"{value!r} is not a date; write it as YYYY-MM-DD"
        raise click.BadParameter(msg, ctx, param)


DATE = DateType()


class Words(click.Option):
    """An option with one or more words after it: ``--steps daily minute`` or ``--steps daily,minute``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "multiple": True})

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Split at commas, then convert each word."""
        words = [word for text in value or () for word in str(text).split(",") if word]
        return super().type_cast_value(ctx, words)


class RaypipeCommand(click.Command):
    """A command that also takes the options of the group, and options with several words."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the name of a several-word option before each of its words, as click wants it."""
        names = {name for param in self.params if isinstance(param, Words) for name in param.opts}
        return super().parse_args(ctx, spread(args, names))

    def invoke(self, ctx: click.Context) -> Any:
        """Set up streams and logging from the options, then run."""
        ctx.ensure_object(App).start(ctx.info_name or "")
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options first, those of every command after them."""
        shared = {param.name for param in global_options()}
        for title, wanted in (("Options", False), ("Options of every command", True)):
            params = [param for param in self.get_params(ctx) if (param.name in shared) is wanted]
            records = [record for param in params if (record := param.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def spread(args: Sequence[str], names: set[str]) -> list[str]:
    """Turn ``--steps a b`` into ``--steps a --steps b``.

    Examples
    --------
    >>> spread(["--steps", "a", "b", "--force"], {"--steps"})
    ['--steps', 'a', '--steps', 'b', '--force']
    """
    found: list[str] = []
    open_name, filled = "", False
    for arg in args:
        if arg.startswith("-"):
            open_name = arg.partition("=")[0] if arg.partition("=")[0] in names else ""
            filled = "=" in arg
            found.append(arg)
        elif open_name:
            found += [open_name, arg] if filled else [arg]
            filled = True
        else:
            found.append(arg)
    return found


def command(name: str, help_: str, *options: click.Parameter) -> Callable[[Callable[..., int | None]], RaypipeCommand]:
    """Make a function a command; it gets the `App` first, then its options by name.

    Parameters
    ----------
    name
        As users type it.
    help_
        Its help; the first line stands in the list of commands.
    options
        Its own options; those of every command are added.
    """

    def decorate(function: Callable[..., int | None]) -> RaypipeCommand:
        return RaypipeCommand(
            name,
            callback=click.pass_obj(function),
            params=[*options, *global_options()],
            help=help_,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        )

    return decorate


def range_options(what: str = "sessions") -> tuple[click.Option, ...]:
    """``--start`` and ``--end`` under both documented spellings."""
    return (
        click.Option(["--start", "--start-date", "start"], type=DATE, metavar="DATE", help=f"First of the {what}."),
        click.Option(["--end", "--end-date", "end"], type=DATE, metavar="DATE", help=f"Last of the {what}."),
    )


def dates_option() -> click.Option:
    """``--dates a,b``: exactly these sessions."""
    return Words(["--dates"], type=DATE, metavar="DATE,..", help="Exactly these sessions, instead of a range.")


def check_range(start: dt.date | None, end: dt.date | None) -> None:
    """Refuse a range that ends before it starts.

    Raises
    ------
    UsageError
        If it does.
    """
    if start and end and end < start:
        msg = f"--end {end} is before --start {start}"
        raise UsageError(msg)


# --- options of every command ------------------------------------------------------------------


def global_options() -> list[click.Parameter]:
    """Options that stand before or after the command's name."""
    return [
        _global(["--root"], metavar="LAKE", help="The lake: a folder or s3://bucket/prefix."),
        _global(
            ["--config", "config_file"], metavar="FILE", type=PATH, help="Configuration instead of ./raypipe.yaml."
        ),
        _global(["--profile"], metavar="NAME", help="Values of configs/NAME.yaml, before those of ./raypipe.yaml."),
        _global(
            ["--set", "sets"], multiple=True, metavar="SECTION.KEY=VALUE", help="One configuration value; repeatable."
        ),
        _global(["--json"], is_flag=True, help="One JSON document on standard output."),
        _global(["-q", "--quiet"], is_flag=True, help="Only warnings and errors."),
        _global(["-v", "--verbose"], count=True, help="More detail; twice for libraries too."),
        _global(["--no-color"], is_flag=True, help="No colour (also NO_COLOR, TERM=dumb)."),
        _global(["--no-progress"], is_flag=True, help="No progress bar."),
        _global(["--log-format"], type=click.Choice(["text", "json"]), help="How lines on standard error look."),
    ]


def _global(names: list[str], **kwargs: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_remember, **kwargs)


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    given = ctx.get_parameter_source(param.name or "") is click.core.ParameterSource.COMMANDLINE
    app = ctx.find_object(App)
    if given and app is not None:
        app.remember(param.name or "", value)
    return value

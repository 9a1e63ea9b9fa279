"""What a command is given: the options of every command, the configuration, the streams."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raypipe.cli.logs import Log
    from raypipe.config import Config

__all__ = ["App", "Options"]

#: Version of every JSON document that is printed.
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Options:
    """The options that every command takes."""

    root: str | None = None
    config_file: Path | None = None
    profile: str | None = None
    sets: tuple[str, ...] = ()
    json: bool = False
    quiet: bool = False
    verbose: int = 0
    no_color: bool = False
    no_progress: bool = False
    log_format: str = "text"


class App:
    """One invocation.

    Parameters
    ----------
    args
        The arguments as given.
    """

    def __init__(self, args: tuple[str, ...] = ()) -> None:
        self.args = args
        self.options = Options(json="--json" in args)
        self.command = ""
        self._log: Log | None = None

    def remember(self, name: str, value: Any) -> None:
        """Note a given option; --set adds up, the others replace."""
        value = (*self.options.sets, *value) if name == "sets" else value
        self.options = replace(self.options, **{name: value})

    def start(self, command: str) -> None:
        """Options are known: from here on there is output."""
        self.command = command
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")

    # --- what commands work on ------------------------------------------------------------------

    def config(self, **flags: Any) -> Config:
        """The configuration; ``flags`` are values of a command's own flags, ``section__key`` by name."""
        from raypipe.config import load_config

        given = {name.replace("__", "."): value for name, value in flags.items()}
        given["lake.root"] = self.options.root
        chosen = self.options
        config = load_config(chosen.config_file, profile=chosen.profile, sets=chosen.sets, flags=given)
        for warning in config.warnings:
            self.notes.warning(warning)
        return config

    def lake_config(self, **flags: Any) -> Config:
        """The configuration, for commands that need the lake to be there."""
        from raypipe.pipeline.session import require_lake

        config = self.config(**flags)
        require_lake(config)
        return config

    @property
    def command_line(self) -> str:
        """The command line that repeats this invocation."""
        return shlex.join(("raypipe", *self.args))

    # --- streams --------------------------------------------------------------------------------

    @property
    def notes(self) -> Log:
        """Standard error."""
        from raypipe.cli.logs import Log

        if self._log is None:
            self._log = Log(self.options, color=self.color(sys.stderr), command_line=self.command_line)
        return self._log

    def color(self, stream: TextIO) -> bool:
        """Whether a stream gets colour."""
        refused = self.options.no_color or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return not refused and stream.isatty()

    @property
    def bars(self) -> bool:
        """Whether progress is a bar; else it is a few lines."""
        plain = self.options.no_progress or self.options.quiet or self.options.log_format == "json"
        return not (plain or os.environ.get("CI") or os.environ.get("TERM") == "dumb") and sys.stderr.isatty()

    def show(self, document: Mapping[str, Any], lines: Sequence[str]) -> None:
        """The result of a command: one JSON document with --json, else lines of text."""
        if self.options.json:
            text = json.dumps({"schema": SCHEMA, "command": self.command, **document}, default=str)
        else:
            text = "\n".join(lines)
        if text:
            sys.stdout.write(f"{text}\n")

    def close(self) -> None:
        """The end: the log file is named last."""
        if self._log is not None:
            self._log.close()

    # --- endings --------------------------------------------------------------------------------

    def fail(self, error: Exception) -> int:
        """Say what went wrong in one line and what to do next; the traceback goes to a file, named last."""
        from raypipe.pipeline.failures import describe

        failure = describe(error)
        if self.options.json:
            self.show({"exit_code": failure.exit_code, "error": failure.document()}, ())
        self.notes.error(failure.line)
        if failure.hint:
            self.notes.hint(failure.hint)
        if failure.trace:
            self.notes.trace(failure.trace)
        return failure.exit_code

    def interrupted(self) -> int:
        """The user pressed Ctrl-C where nothing needs to be finished."""
        self.notes.warning("interrupted")
        return 130

"""Standard error, and the file that takes tracebacks. Every line of both is masked and safe to print."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.cli.present import safe
from raypipe.redact import RedactingFilter, redact

if TYPE_CHECKING:
    from raypipe.cli.app import Options

__all__ = ["Log"]

KEPT_LOGS = 20
_STYLES = {"WARNING": ("warning: ", "\x1b[33m"), "ERROR": ("error: ", "\x1b[31m")}
NOTE = 25  # between INFO and WARNING: shown with -q too, and without a prefix
_RESET = "\x1b[0m"


class Log:
    """Lines for people on standard error, and tracebacks in a file.

    Parameters
    ----------
    options
        Verbosity and format.
    color
        Whether prefixes are coloured.
    command_line
        Stands at the top of the file.
    """

    def __init__(self, options: Options, *, color: bool, command_line: str) -> None:
        self._command_line, self._file = command_line, None
        self.path: Path | None = None
        handler = logging.StreamHandler(sys.stderr)
        handler.addFilter(RedactingFilter())
        handler.setFormatter(_JsonFormatter() if options.log_format == "json" else _TextFormatter(color=color))
        level = NOTE if options.quiet else logging.DEBUG if options.verbose else logging.INFO
        self._logger = logging.getLogger("raypipe")
        self._logger.handlers, self._logger.propagate = [handler], False
        self._logger.setLevel(level)
        root = logging.getLogger()
        self._before = (root.handlers, root.level)
        # Libraries speak up with -vv; never at DEBUG, where botocore prints whole requests.
        root.handlers = [handler]
        root.setLevel(logging.INFO if options.verbose > 1 else logging.ERROR)
        logging.captureWarnings(capture=True)

    def info(self, text: str) -> None:
        """A line about what goes on."""
        self._logger.info("%s", text)

    def warning(self, text: str) -> None:
        """A line that the user should not miss."""
        self._logger.warning("%s", text)

    def error(self, text: str) -> None:
        """Why the command failed."""
        self._logger.error("%s", text)

    def hint(self, text: str) -> None:
        """What to do next."""
        self._logger.log(NOTE, "hint: %s", text)

    def trace(self, text: str) -> None:
        """Put a traceback into the log file."""
        try:
            if self.path is None:
                self.path = _new_file(redact(self._command_line))
            with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"\n{redact(text)}\n")
        except OSError as error:
            self.warning(f"the log could not be written: {error}")

    def close(self) -> None:
        """Name the log file, if there is one, as the last line; leave logging as it was found."""
        if self.path is not None:
            self._logger.log(NOTE, "log: %s", self.path)
        root = logging.getLogger()
        root.handlers, level = self._before
        root.setLevel(level)
        self._logger.handlers, self._logger.propagate = [], True
        logging.captureWarnings(capture=False)


class _TextFormatter(logging.Formatter):
    def __init__(self, *, color: bool) -> None:
        super().__init__()
        self._color = color

    def format(self, record: logging.LogRecord) -> str:
        prefix, style = _STYLES.get(record.levelname, ("", ""))
        if style and self._color:
            prefix = f"{style}{prefix}{_RESET}"
        return prefix + safe(record.getMessage()) + (f"\n{record.exc_text}" if record.exc_text else "")


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = "info" if record.levelno == NOTE else record.levelname.lower()
        moment = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        return json.dumps({"time": moment, "level": level, "logger": record.name, "message": record.getMessage()})


def _new_file(command_line: str) -> Path:
    """Make a log file that only its owner can read, and drop the oldest ones."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(home) / "raypipe" / "log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir())  # a machine without a home; the path is shown in any case
    name = f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S}-{os.getpid()}.log"
    path = folder / f"raypipe-{name}"
    for old in sorted(folder.glob("raypipe-*.log"))[: -KEPT_LOGS + 1]:
        old.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(f"{command_line}\n", encoding="utf-8", errors="backslashreplace")
    return path

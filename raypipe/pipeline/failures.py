"""An exception as what the user gets to see: one line, a hint, an exit code, and a trace for the log if it may help."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import Any

from raypipe.errors import DataQualityError, NotYetError, RaypipeError, UnavailableError, UsageError
from raypipe.redact import redact

__all__ = ["Shown", "describe"]

#: Errors whose one line says everything: where in the code they were raised helps nobody.
_PLAIN = (UsageError, NotYetError, DataQualityError)


@dataclass(frozen=True, slots=True)
class Shown:
    """A failure, with secrets masked."""

    kind: str
    line: str
    hint: str = ""
    trace: str = ""
    exit_code: int = 1
    values: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": self.kind, "message": self.line, "hint": self.hint, "values": self.values}


def describe(error: Exception) -> Shown:
    """What to show of an exception."""
    kind = type(error).__name__
    trace = "" if isinstance(error, _PLAIN) else redact("".join(traceback.format_exception(error)))
    if isinstance(error, RaypipeError):
        values = {name: redact(str(value)) for name, value in error.values.items()}
        where = ", ".join(f"{name} {value}" for name, value in values.items())
        line = redact(error.message)
        return Shown(kind, f"{where}: {line}" if where else line, redact(error.hint), trace, error.exit_code, values)
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        line = redact(f"{name}{error.strerror}" if error.strerror else f"{kind}: {error}")
        return Shown(kind, line, "check the disk, its free space and permissions", trace, UnavailableError.exit_code)
    line = redact(f"{kind}: {error}")
    return Shown(kind, f"a bug in raypipe: {line}", "please report it together with the log", trace)

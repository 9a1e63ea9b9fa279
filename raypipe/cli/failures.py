"""An exception as what the user gets to see: one line, a hint, and a trace for the log if it may help."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import Any

from raypipe.errors import DataQualityError, NotYetError, RaypipeError, UsageError
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
        return Shown(kind, f"{where}: {line}" if where else line, redact(error.hint), trace, values)
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return Shown(kind, redact(f"{name}{error.strerror}"), "check the disk, its free space and permissions", trace)
    line = redact(f"{kind}: {error}")
    return Shown(kind, f"a bug in raypipe: {line}", "please report it together with the log", trace)

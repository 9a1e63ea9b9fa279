"""Every exception that raypipe raises, in one tree.

::

    RaypipeError                      exit code
    ├── UserDataError                     1   the data is wrong; the rest of the batch goes on
    │   ├── SourceError                       a vendor file cannot be used (file, row, offset)
    │   │   └── ShortObjectError              fewer bytes than the listing promised
    │   ├── SchemaError                       a table does not satisfy its declared schema
    │   ├── QuarantineError                   too many rows of a partition were refused
    │   ├── PartitionError                    a lake partition is missing or damaged
    │   ├── BlockedError                      an input of a partition is missing
    │   └── ModelError                        a stored model or what it is given cannot be used
    ├── UsageError                        2   the request is wrong; nothing was started
    │   ├── ConfigError                       an unknown key or a value of the wrong kind
    │   ├── UnsafeNameError                   a symbol, date or path outside the allow-list
    │   └── MissingExtraError                 an optional package is not installed
    ├── DataQualityError                  3   a data-quality gate said no
    │   └── SplitsError                       a file of splits breaks a rule (rule, fold, symbol, session)
    ├── NotYetError                       4   an input is not published yet
    ├── UnavailableError                  5   storage or cluster cannot be used
    │   ├── StorageError                      (store, key)
    │   └── ClusterError
    └── DeveloperError                    1   the code breaks its own contract: a bug

Libraries raise these; only ``raypipe.cli`` and ``tasks`` catch them, print one line and set
the exit code. Each error holds its values as attributes and says what to do next. All of them
can be pickled, because they cross process borders.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "BlockedError",
    "ClusterError",
    "ConfigError",
    "DataQualityError",
    "DeveloperError",
    "MissingExtraError",
    "ModelError",
    "NotYetError",
    "PartitionError",
    "QuarantineError",
    "RaypipeError",
    "SchemaError",
    "ShortObjectError",
    "SourceError",
    "SplitsError",
    "StorageError",
    "UnavailableError",
    "UnsafeNameError",
    "UsageError",
    "UserDataError",
]


class RaypipeError(Exception):
    """Base of all errors of raypipe.

    Parameters
    ----------
    message
        What happened, in one sentence.
    hint
        What to do next; shown after the message.
    **values
        The facts of the case (``file``, ``row``, ``table``, ``partition`` ...), kept in
        ``self.values`` and shown in front of the message.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", **values: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.values = {name: value for name, value in values.items() if value is not None}

    def __str__(self) -> str:
        where = ", ".join(f"{name} {value}" for name, value in self.values.items())
        text = f"{where}: {self.message}" if where else self.message
        return f"{text} ({self.hint})" if self.hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.hint, self.values)


def _rebuild(kind: type[RaypipeError], message: str, hint: str, values: dict[str, Any]) -> RaypipeError:
    return kind(message, hint=hint, **values)


# --- the user's data -------------------------------------------------------------------------


class UserDataError(RaypipeError):
    """The data is wrong. The partition fails; the others go on."""


class SourceError(UserDataError):
    """A vendor file cannot be used. Values: ``file``, and ``row``, ``column`` or ``offset``."""


class ShortObjectError(SourceError):
    """A file holds fewer bytes than its listing promised."""


class SchemaError(UserDataError):
    """A table does not satisfy its schema. Values: ``table``, ``partition``, ``column``."""


class QuarantineError(UserDataError):
    """Too many rows of one partition were refused. Values: ``table``, ``partition``."""


class PartitionError(UserDataError):
    """A partition of the lake is missing or damaged. Values: ``table``, ``partition``."""


class BlockedError(UserDataError):
    """An input of a partition is missing, so it cannot be built. Values: ``table``, ``partition``."""


class ModelError(UserDataError):
    """A stored model, or the rows that a model is given, cannot be used. Values: ``file``."""


# --- the user's request ----------------------------------------------------------------------


class UsageError(RaypipeError):
    """The request is wrong; nothing was started."""

    exit_code: ClassVar[int] = 2


class ConfigError(UsageError):
    """A configuration key is unknown, or a value is of the wrong kind. Values: ``key``, ``file``."""


class UnsafeNameError(UsageError):
    """A name from outside does not match its allow-list. Values: ``name``."""


class MissingExtraError(UsageError):
    """An optional package is not installed."""

    def __init__(self, message: str, *, extra: str, hint: str = "") -> None:
        super().__init__(message, hint=hint or f"pip install 'raypipe[{extra}]'", extra=extra)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_extra, (self.message, self.values["extra"], self.hint)


def _rebuild_extra(message: str, extra: str, hint: str) -> MissingExtraError:
    return MissingExtraError(message, extra=extra, hint=hint)


# --- the world -------------------------------------------------------------------------------


class DataQualityError(RaypipeError):
    """A data-quality gate said no."""

    exit_code: ClassVar[int] = 3


class SplitsError(DataQualityError):
    """A file of splits breaks a rule. Values: ``rule``, and ``fold``, ``symbol``, ``session`` where they apply."""


class NotYetError(RaypipeError):
    """An input is not published yet; safe to try again later."""

    exit_code: ClassVar[int] = 4


class UnavailableError(RaypipeError):
    """Storage or cluster cannot be used."""

    exit_code: ClassVar[int] = 5


class StorageError(UnavailableError):
    """A store refused, or could not be reached. Values: ``store``, ``key``."""


class ClusterError(UnavailableError):
    """A Ray cluster cannot be reached or used. Values: ``address``."""


# --- the code --------------------------------------------------------------------------------


class DeveloperError(RaypipeError):
    """The code breaks its own contract. A bug, not the user's doing."""

"""Faults on purpose, at the named steps of a commit, so that tests can break every one of them.

``RAYPIPE_FAULT="after_upload:kill,p=.3;mid_tmp:oserror"`` names points and what happens there. Without
the variable `fault` is one comparison with None.
"""

from __future__ import annotations

import errno
import os
import random
import signal
from dataclasses import dataclass, field
from typing import NoReturn

from raypipe.errors import UsageError

__all__ = ["ACTIONS", "JOURNAL_POINTS", "POINTS", "arm", "fault"]

#: Steps of a commit, in order. Local disk passes the renames, S3 the uploads.
POINTS = (
    "before_tmp",
    "mid_tmp",
    "after_fsync",
    "before_upload",
    "mid_multipart",
    "after_upload",
    "before_rename",
    "after_rename",
    "before_receipt",
)
#: Steps of a line in the journal of a study.
JOURNAL_POINTS = ("mid_row", "after_row", "mid_line", "after_line")
ACTIONS = ("kill", "oserror", "enospc", "hang", "raise")


@dataclass(slots=True)
class _Rule:
    """One armed fault: at which hit of its point, or how likely, and what then."""

    action: str
    chance: float = 1.0
    nth: int = 0
    draw: random.Random = field(default_factory=random.Random)
    hits: int = 0

    def due(self) -> bool:
        self.hits += 1
        return self.hits == self.nth if self.nth else self.draw.random() < self.chance


_armed: dict[str, list[_Rule]] | None = None


def fault(point: str) -> None:
    """Do what `RAYPIPE_FAULT` asks for at this point; without the variable, nothing.

    Parameters
    ----------
    point
        One of `POINTS` or `JOURNAL_POINTS`.
    """
    if _armed is None:
        return
    for rule in _armed.get(point, ()):
        if rule.due():
            _act(rule.action, point)


def arm(text: str | None) -> None:
    """Replace the armed faults by those of ``text``; None or empty disarms.

    The grammar is ``point:action[,p=chance][,n=nth hit][,seed=integer]``, several joined by ``;``.

    Raises
    ------
    UsageError
        If a point, action or option is unknown.
    """
    global _armed  # noqa: PLW0603 -- one switch per process, read on every hit
    rules: dict[str, list[_Rule]] = {}
    for part in filter(None, (text or "").split(";")):
        point, rule = _parse(part)
        rules.setdefault(point, []).append(rule)
    _armed = rules or None


def _parse(part: str) -> tuple[str, _Rule]:
    head, *options = (piece.strip() for piece in part.split(","))
    point, _, action = head.partition(":")
    try:
        values = dict(option.split("=", 1) for option in options)
        rule = _Rule(
            action,
            chance=float(values.pop("p", 1)),
            nth=int(values.pop("n", 0)),
            draw=random.Random(int(values.pop("seed"))) if "seed" in values else random.Random(),
        )
        known = point in {*POINTS, *JOURNAL_POINTS} and action in ACTIONS and not values
    except ValueError:
        known = False
    if not known:
        msg = f"RAYPIPE_FAULT has the unknown part {part!r}"
        points, actions = ", ".join((*POINTS, *JOURNAL_POINTS)), ", ".join(ACTIONS)
        raise UsageError(msg, hint=f"points: {points}; actions: {actions}; options: p, n, seed")
    return point, rule


def _act(action: str, point: str) -> NoReturn:
    text = f"fault on purpose at {point}"
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "hang":
        while True:
            signal.pause()
    if action == "raise":
        raise RuntimeError(text)
    raise OSError(errno.ENOSPC if action == "enospc" else errno.EIO, text)


arm(os.environ.get("RAYPIPE_FAULT"))

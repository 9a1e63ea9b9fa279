"""Looks at hold-outs, kept beside the models of a name: what was looked at once is not unseen any more.

One object per bundle and window in `registry/{name}/looks/`. Looking again at the same changes nothing; a look at an
overlapping window by anything else counts as a trial.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from raypipe.errors import DataQualityError, UnsafeNameError
from raypipe.lake.objects import ObjectStore

__all__ = ["check_name", "earlier_looks", "record_look"]

SCHEMA = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_FIELDS = ("bundle_sha256", "start", "end")


def check_name(name: str) -> str:
    """Hold the name of a model against the allow-list.

    Raises
    ------
    UnsafeNameError
        If it has other characters than letters, digits, ``_``, ``.`` and ``-``, or more than 64.
    """
    if not _NAME.fullmatch(name):
        msg = "a model's name has up to 64 letters, digits, _ . - and begins with a letter or digit"
        raise UnsafeNameError(msg, hint="name it with --name", name=name[:80])
    return name


def record_look(store: ObjectStore, name: str, look: Mapping[str, Any]) -> str:
    """Keep a look: ``bundle_sha256, start, end`` and what else there is to say; returns its key."""
    key = f"{_folder(name)}{look['start']}_{look['end']}_{look['bundle_sha256'][:16]}.json"
    document = {"schema": SCHEMA, **look}
    store.put_bytes(key, (json.dumps(document, sort_keys=True, indent=1, allow_nan=False) + "\n").encode())
    return key


def earlier_looks(store: ObjectStore, name: str, bundle_sha256: str, start: str, end: str) -> int:
    """How often anything else was looked at in a window that overlaps [start, end], ISO dates.

    Raises
    ------
    DataQualityError
        If a stored look cannot be understood: it would not be counted.
    """
    own = (bundle_sha256, start, end)
    looks = [_read(store, stat.key) for stat in store.list(_folder(name)) if stat.key.endswith(".json")]
    return sum(look != own and look[1] <= end and start <= look[2] for look in looks)


def _folder(name: str) -> str:
    return f"registry/{check_name(name)}/looks/"


def _read(store: ObjectStore, key: str) -> tuple[str, str, str]:
    try:
        raw = json.loads(store.read(key))
        bundle, start, end = (str(raw[field]) for field in _FIELDS)
    except (ValueError, KeyError, TypeError) as error:
        msg = f"not a look at a hold-out: {type(error).__name__} {error}"
        raise DataQualityError(msg, hint="restore the file; without it a trial is not counted", file=key) from error
    return bundle, start, end

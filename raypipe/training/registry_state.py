"""What a registry says: which versions of a model there are, which is in use, and every change of that."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from raypipe.errors import ModelError
from raypipe.lake.faults import fault
from raypipe.lake.objects import ObjectStore
from raypipe.training.bundle_files import json_bytes
from raypipe.training.looks import check_name

__all__ = ["BACK", "Latest", "history", "latest_of", "mend_history", "switch", "versions_of"]

SCHEMA = 1
#: How the reason of a rollback begins.
BACK = "rolled back from "
_VERSION = re.compile(r"v(\d{4,9})")
_LATEST = "latest.json"


@dataclass(frozen=True, slots=True)
class Latest:
    """Content of `latest.json`: which version is in use since when, which was before, and why."""

    version: str
    bundle_sha256: str
    previous: str | None
    promoted_ns: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"schema": SCHEMA, **{name: getattr(self, name) for name in self.__slots__}}


# --- reading -------------------------------------------------------------------------------------


def versions_of(store: ObjectStore, name: str) -> dict[str, bool]:
    """Versions under a name in their order, and whether each is whole."""
    prefix = f"registry/{check_name(name)}/"
    found: dict[str, bool] = {}
    for one in store.list(prefix):
        version, _, rest = one.key.removeprefix(prefix).partition("/")
        if _VERSION.fullmatch(version) and rest:
            found[version] = found.get(version, False) or rest == "bundle.json"
    return dict(sorted(found.items(), key=lambda item: int(item[0][1:])))


def latest_of(store: ObjectStore, name: str) -> Latest | None:
    """What is in use under a name; None if nothing was promoted yet.

    Raises
    ------
    ModelError
        If `latest.json` cannot be understood.
    """
    key = f"registry/{check_name(name)}/{_LATEST}"
    if store.stat(key) is None:
        return None
    return _latest(store.read(key), key)


def _latest(data: bytes, key: str) -> Latest:
    try:
        raw = json.loads(data)
        if raw.pop("schema") != SCHEMA or not _VERSION.fullmatch(raw["version"]):
            msg = f"schema is {SCHEMA} and version such as v0001"
            raise ValueError(msg)
        return Latest(**raw)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"latest.json cannot be understood: {type(error).__name__} {error}"
        raise ModelError(msg, hint="put back what the newest file of history/ says", file=key) from error


def history(store: ObjectStore, name: str) -> list[dict[str, Any]]:
    """Every change of what is in use, the oldest first: content of `latest.json` with ``action``."""
    prefix = f"registry/{check_name(name)}/history/"
    keys = [one.key for one in store.list(prefix) if one.key.endswith(".json")]
    return [json.loads(store.read(key)) for key in sorted(keys, key=lambda key: int(_stamp(key)))]


def _stamp(key: str) -> str:
    found = re.match(r"\d+", key.rpartition("/")[2])
    return found.group() if found else "0"


# --- switching -----------------------------------------------------------------------------------


def switch(store: ObjectStore, name: str, now: Latest, action: str) -> None:
    """Put a version in use: one object is replaced, then the change is recorded."""
    store.put_bytes(f"registry/{name}/{_LATEST}", json_bytes(now.to_dict()))
    fault("before_receipt")
    _record(store, name, now, action)


def _record(store: ObjectStore, name: str, now: Latest, action: str) -> None:
    key = f"registry/{name}/history/{now.promoted_ns}_{action}.json"
    store.put_bytes(key, json_bytes({**now.to_dict(), "action": action}))


def mend_history(store: ObjectStore, name: str, latest: Latest | None) -> None:
    """Record a change whose author was killed before he could."""
    if latest is None:
        return
    prefix = f"registry/{name}/history/{latest.promoted_ns}_"
    if not any(store.list(prefix)):
        _record(store, name, latest, "rollback" if latest.reason.startswith(BACK) else "promote")

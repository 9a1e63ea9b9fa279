"""The files of a bundle, and every check that they pass before anything reads one.

`bundle.json` lists each file with its hash and size; its own hash names the bundle. What is not listed, is missing,
was altered, is larger than said, is a link, or begins like something that a bundle does not hold is refused, with both
hashes. Nothing is ever unpickled: each suffix has the beginning that its format has, and a pickle has none of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from raypipe.errors import ModelError, UsageError
from raypipe.lake.faults import fault
from raypipe.lake.local import sync_folder
from raypipe.lake.location import Location
from raypipe.lake.names import check_key
from raypipe.lake.objects import ObjectStore, is_temporary, open_store, temporary_name

__all__ = [
    "BUNDLE",
    "JOINED",
    "METRICS",
    "BundleFacts",
    "bundle_place",
    "check_bundle",
    "fetch_bundle",
    "json_bytes",
    "publish_folder",
    "replace_folder",
    "seal_bundle",
    "send_bundle",
    "sweep_folders",
]

BUNDLE, METRICS = "bundle.json", "holdout_metrics.json"
#: What may stand beside the listed files: it was made of the bundle, after it.
JOINED = frozenset({METRICS, "holdout_predictions.parquet"})
SCHEMA = 1
_STALE_S = 3600
_MAX_NOTE, _MAX_FILE, _MAX_FILES = 8 << 20, 1 << 30, 20_000
#: How files of a suffix begin.
_BEGINS: dict[str, tuple[bytes, ...]] = {
    ".json": (b"{",),
    ".yaml": (b"",),
    ".parquet": (b"PAR1",),
    ".ubj": (b"{",),
    ".cbm": (b"CBM1",),
    ".txt": (b"tree\n",),
    ".npz": (b"PK\x03\x04",),
}
_PICKLE = re.compile(rb"\x80[\x00-\x05]|\(?[cdil]\w*__|c[\w.]+\n|\(dp0|\(lp0")


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """A checked bundle.

    Attributes
    ----------
    folder
        Where its files are.
    sha256
        Hash of `bundle.json`: what a bundle is called by.
    note
        Content of `bundle.json`.
    """

    folder: Path
    sha256: str
    note: Mapping[str, Any]

    def json(self, name: str) -> dict[str, Any]:
        """One of its JSON documents."""
        found: dict[str, Any] = json.loads((self.folder / name).read_bytes())
        return found


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """A document as it is stored: sorted keys, so that equal content has equal bytes; NaN is refused."""
    return (json.dumps(document, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


# --- checking ----------------------------------------------------------------------------------


def check_bundle(folder: Path) -> BundleFacts:
    """Hold every file of a bundle against its list. Nothing but `bundle.json` is parsed.

    Parameters
    ----------
    folder
        Of the bundle.

    Raises
    ------
    UsageError
        If there is no bundle.
    ModelError
        For the first file that is not as listed, naming it and both hashes.
    """
    if not (folder / BUNDLE).is_file():
        msg = "there is no bundle here: a folder without bundle.json"
        raise UsageError(msg, hint="make one: raypipe stack", file=str(folder))
    _plain_file(folder / BUNDLE, _MAX_NOTE)
    raw = (folder / BUNDLE).read_bytes()
    note = _note(raw, folder / BUNDLE)
    listed: dict[str, dict[str, Any]] = note["files"]
    for path in _walked(folder):
        name = path.relative_to(folder).as_posix()
        if name not in listed and name != BUNDLE and name not in JOINED:
            msg = f"bundle.json does not list this file; it lists sha256 none, here is {_shown(path)}"
            raise ModelError(msg, hint="remove the file, or take the bundle from where it was made", file=str(path))
    for name, wanted in listed.items():
        _check_file(folder / name, wanted)
    for name in JOINED:
        if (folder / name).exists():
            _plain_file(folder / name, _MAX_FILE)
            _check_beginning(folder / name, _beginning(folder / name))
    return BundleFacts(folder, hashlib.sha256(raw).hexdigest(), note)


def _note(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        note: dict[str, Any] = json.loads(raw)
        known = note["schema"] == SCHEMA and 0 < len(note["files"]) <= _MAX_FILES
        names = all(check_key(name) and name != BUNDLE and name not in JOINED for name in note["files"])
        facts = all(isinstance(one["sha256"], str) and isinstance(one["bytes"], int) for one in note["files"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UsageError) as error:
        msg = f"bundle.json cannot be read: {type(error).__name__}"
        raise ModelError(msg, hint="take the bundle from where it was made", file=str(path)) from error
    if not (known and names and facts):
        msg = f"bundle.json has schema {note['schema']!r} or lists files that no bundle holds"
        raise ModelError(msg, hint=f"schema {SCHEMA} is known here", file=str(path))
    return note


def _walked(folder: Path) -> list[Path]:
    """Every file below, in order; links, whatever they lead to, and anything that is neither are refused."""
    found = []
    for root, folders, files in os.walk(folder, followlinks=False):
        for name in sorted([*folders, *files]):
            path = Path(root) / name
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode) or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                _refuse_link(path)
            if stat.S_ISREG(mode):
                found.append(path)
    return found


def _plain_file(path: Path, most: int) -> int:
    """Size of a file that is one, not a link, and not larger than it may be."""
    try:
        facts = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return -1
    if not stat.S_ISREG(facts.st_mode):
        _refuse_link(path)
    if facts.st_size > most:
        msg = f"the file has {facts.st_size:,} bytes, at most {most:,} are expected"
        raise ModelError(msg, hint="take the bundle from where it was made", file=str(path))
    return facts.st_size


def _refuse_link(path: Path) -> NoReturn:
    msg = "a link or a device stands where a bundle has a file"
    raise ModelError(msg, hint="copy the file itself", file=str(path))


def _check_file(path: Path, wanted: Mapping[str, Any]) -> None:
    size = _plain_file(path, _MAX_FILE)
    if size == wanted["bytes"]:
        data = path.read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if found == wanted["sha256"]:
            _check_beginning(path, data[:64])
            return
    here = "no file" if size < 0 else f"{_shown(path)}, {size:,} bytes"
    msg = f"listed is sha256 {wanted['sha256']}, {wanted['bytes']:,} bytes; here is {here}"
    raise ModelError(
        msg, hint="the file is missing or was altered: restore it, or make the bundle again", file=str(path)
    )


def _check_beginning(path: Path, begin: bytes) -> None:
    begins = _BEGINS.get(path.suffix, ())
    if not begin.startswith(begins) or _PICKLE.match(begin):
        known = ", ".join(sorted(_BEGINS))
        msg = f"the file begins like no {path.suffix or 'such'} file of a bundle, sha256 {_shown(path)}"
        hint = f"bundles hold native files ({known}) and never a pickle"
        raise ModelError(msg, hint=hint, file=str(path))


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


def _shown(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


# --- making ------------------------------------------------------------------------------------


def seal_bundle(folder: Path, facts: Mapping[str, Any]) -> BundleFacts:
    """List the files of a folder in its `bundle.json`, and check the whole as any reader would."""
    files = {
        path.relative_to(folder).as_posix(): {"sha256": _shown(path), "bytes": path.stat().st_size}
        for path in _walked(folder)
        if path.name != BUNDLE
    }
    (folder / BUNDLE).write_bytes(json_bytes({"schema": SCHEMA, **facts, "files": files}))
    return check_bundle(folder)


def replace_folder(target: Path, make: Callable[[Path], None]) -> None:
    """Make a folder under a temporary name beside its target and rename it there; an older bundle gives way.

    Raises
    ------
    UsageError
        If the target is there and is no bundle.
    """
    if target.exists() and not (target / BUNDLE).is_file() and any(target.iterdir()):
        msg = "the folder is there and is no bundle"
        raise UsageError(msg, hint="name another --output, or remove it", file=str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep_folders(target.parent)
    fresh, old = (target.parent / temporary_name(f"{target.name}.{kind}") for kind in ("new", "old"))
    try:
        fresh.mkdir()
        make(fresh)
        if target.exists():
            target.rename(old)
        publish_folder(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if not target.exists() and old.exists():
            old.rename(target)
        shutil.rmtree(old, ignore_errors=True)


def sweep_folders(parent: Path) -> None:
    """Remove temporary folders that a writer left who was killed; those that changed within the hour may be in use."""
    for path in parent.iterdir():
        if is_temporary(path.name) and path.is_dir() and time.time() - path.stat().st_mtime > _STALE_S:
            shutil.rmtree(path, ignore_errors=True)


def publish_folder(fresh: Path, target: Path) -> None:
    """Flush every file of a folder, then rename it: a power cut leaves all of it or nothing."""
    for path in _walked(fresh):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    fault("after_fsync")
    fault("before_rename")
    fresh.rename(target)
    fault("after_rename")
    sync_folder(target.parent)


# --- to and from stores ------------------------------------------------------------------------


def send_bundle(store: ObjectStore, prefix: str, folder: Path) -> None:
    """Copy the files of a bundle below a prefix, `bundle.json` last: without it there is no bundle there."""
    paths = sorted(_walked(folder), key=lambda path: (path.name == BUNDLE and path.parent == folder, path.as_posix()))
    for path in paths:
        store.put_file(f"{prefix}/{path.relative_to(folder).as_posix()}", path)


def bundle_place(location: Location, uri: str) -> tuple[ObjectStore, str]:
    """Store and prefix of a bundle at ``s3://bucket/prefix``, reached as a lake is."""
    there = Location.parse(uri, endpoint_url=location.endpoint_url, profile=location.profile)
    return open_store(replace(there, root=f"s3://{there.bucket}")), there.prefix.rstrip("/")


def fetch_bundle(store: ObjectStore, prefix: str, folder: Path) -> None:
    """Copy a bundle from below a prefix into a new folder; it is still to be checked.

    Raises
    ------
    UsageError
        If there is none.
    ModelError
        If an object is larger than any file of a bundle.
    """
    found = list(store.list(f"{prefix}/"))
    if not any(one.key == f"{prefix}/{BUNDLE}" for one in found):
        msg = f"there is no bundle at {prefix}"
        raise UsageError(msg, hint="raypipe stack makes one, raypipe promote a version", store=store.uri)
    for one in found:
        if one.size > _MAX_FILE:
            msg = f"the object has {one.size:,} bytes, at most {_MAX_FILE:,} are expected"
            raise ModelError(msg, hint="take the bundle from where it was made", file=one.key)
        path = folder / one.key.removeprefix(f"{prefix}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.read(one.key))

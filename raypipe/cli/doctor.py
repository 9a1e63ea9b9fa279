"""``raypipe doctor``: this machine, the installation, the lake and the endpoints. Never shows a secret."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from raypipe.cli.app import App
from raypipe.cli.options import command
from raypipe.cli.present import bytes_text, table

if TYPE_CHECKING:
    from raypipe.config import Config

__all__ = ["doctor"]

PACKAGES = ("ray", "pyarrow", "numpy", "numba", "pandas", "boto3", "pydantic", "exchange_calendars", "deflate")
LOW_MEMORY, LOW_DISK = 2 << 30, 5 << 30
_PROBE = "runs/.doctor"
_USAGE = 2


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. ``code`` is the exit code if it is not well."""

    name: str
    state: Literal["ok", "warning", "failed"]
    detail: str
    hint: str = ""
    code: int = 0


@command(
    "doctor",
    "Check this machine, the installation, the lake and the endpoints.",
    click.Option(["--remote"], is_flag=True, help="Also ask the vendor's endpoint."),
)
def doctor(app: App, remote: bool) -> int:
    """Run every check; the exit code is that of the worst."""
    config = app.config()
    looks: list[Callable[[Config], Check]] = [_python, _packages, _cpus, _memory, _ray, _location, _disk, _writable]
    checks = [look(config) for look in [*looks, *([_vendor] if remote else [])]]
    rows = [(check.name, check.state, check.detail) for check in checks]
    app.show({"checks": [asdict(check) for check in checks]}, table(("check", "state", "what"), rows))
    for check in checks:
        if check.hint:
            app.notes.hint(f"{check.name}: {check.hint}")
    return max(check.code for check in checks)


def _python(_: Config) -> Check:
    return Check("python", "ok", f"{platform.python_version()} at {sys.executable}, {platform.platform()}")


def _packages(_: Config) -> Check:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("packages", "failed", f"missing: {', '.join(missing)}", "pip install raypipe", _USAGE)
    return Check("packages", "ok", ", ".join(found))


def _cpus(config: Config) -> Check:
    from raypipe.pipeline.session import cpus

    return Check("cpus", "ok", f"{cpus(config.run)} jobs at a time; the machine has {os.cpu_count()}")


def _memory(_: Config) -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _cgroup_limit()
    size = min(total, limit) if limit else total
    detail = bytes_text(size) + (" (limit of this container)" if limit and limit < total else "")
    if size < LOW_MEMORY:
        return Check("memory", "warning", detail, "full-market sessions need about 600 MiB per job: use --workers 1")
    return Check("memory", "ok", detail)


def _cgroup_limit() -> int | None:
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _ray(config: Config) -> Check:
    if config.run.address:
        return Check("ray", "ok", f"{metadata.version('ray')}, cluster {config.run.address} (not asked)")
    return Check("ray", "ok", f"{metadata.version('ray')}, no cluster named: large runs start one on this machine")


def _location(config: Config) -> Check:
    location = config.lake.location
    origin = config.origin["lake.root"]
    return Check("lake", "ok", f"{location.root} ({origin})")


def _disk(config: Config) -> Check:
    location = config.lake.location
    path = Path(location.root) if location.is_local else Path.cwd()
    while not path.exists():
        path = path.parent
    free = shutil.disk_usage(path).free
    detail = f"{bytes_text(free)} free at {path}"
    if free < LOW_DISK:
        return Check("disk", "warning", detail, "a year of minute files and bronze takes about 10 GiB")
    return Check("disk", "ok", detail)


def _writable(config: Config) -> Check:
    """Write and remove a probe; the lake's folder must be there already."""
    from raypipe.errors import RaypipeError
    from raypipe.pipeline.upkeep import probe_storage

    try:
        if not probe_storage(config):
            return Check("storage", "warning", "the lake's folder does not exist yet", "raypipe ingest makes it")
    except RaypipeError as error:
        return Check("storage", "failed", error.message, error.hint, error.exit_code)
    return Check("storage", "ok", "a file was written and removed")


def _vendor(config: Config) -> Check:
    from raypipe.errors import RaypipeError
    from raypipe.pipeline.upkeep import probe_vendor

    where = f"{config.ingest.endpoint_url}/{config.ingest.bucket}"
    try:
        found = probe_vendor(config)
    except RaypipeError as error:
        return Check("vendor", "failed", f"{where}: {error.message}", error.hint, error.exit_code)
    return Check("vendor", "ok", f"{where}: {found} day files of this month are listed")

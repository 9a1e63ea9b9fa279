"""Where a run's results come from: what each table was made of, and the command that makes it again."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from raypipe.config import Config
from raypipe.pipeline.job import InputRef, Job
from raypipe.pipeline.plan import Plan
from raypipe.redact import MASK, redact

__all__ = ["lineage", "origins", "repeat_command"]

#: How an origin names a file.
_FILE = re.compile(r"(?:user file|project file|profile) (.+)")


def lineage(plan: Plan) -> dict[str, dict[str, dict[str, Any]]]:
    """Per table that a plan builds and table that it reads: first and last partition, how many, their digest.

    The digest is over names and fingerprints of the partitions: two runs with the same digest read the same inputs.
    """
    found: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for job in (job for wave in plan.waves for job in wave):
        for table, source, ref in _edges(job):
            found[table][source][ref.partition] = ref.fingerprint
    return {
        table: {source: _summed(found[table][source]) for source in sorted(found[table])} for table in sorted(found)
    }


def _edges(job: Job) -> Iterator[tuple[str, str, InputRef]]:
    for target in job.targets:
        for source, summary in target.inputs.items():
            for ref in job.inputs.get(source, ()):
                if summary.first <= ref.partition <= summary.last:
                    yield target.table, source, ref


def _summed(parts: Mapping[str, str]) -> dict[str, Any]:
    names = sorted(parts)
    text = json.dumps([(name, parts[name]) for name in names])
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return {"first": names[0], "last": names[-1], "partitions": len(names), "digest": digest}


def origins(config: Config) -> dict[str, Any]:
    """Where values that are not defaults come from: ``values`` by ``section.key``, ``files`` with their SHA-256."""
    given = {key: redact(origin) for key, origin in config.origin.items() if origin != "default"}
    named = dict.fromkeys(found.group(1) for origin in given.values() if (found := _FILE.fullmatch(origin)))
    hashes = {name: hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in named if Path(name).is_file()}
    return {"values": given, "files": hashes}


def repeat_command(command: str, config: Config) -> str:
    """The command with every value that it took from a file or the environment spelled out.

    It needs no file and no variable to do the same. Values that are masked must come from the environment again.
    """
    masked = config.masked()
    lines = [command]
    for key, origin in sorted(config.origin.items()):
        if origin == "default" or origin.startswith("flag"):
            continue
        value = _at(masked, key)
        text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
        if MASK not in text:
            lines.append(f"--set {shlex.quote(f'{key}={text}')}")
    return " \\\n  ".join(lines)


def _at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values

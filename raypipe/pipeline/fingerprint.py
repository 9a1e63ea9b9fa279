"""Fingerprints: what decides whether a partition is still the one that a run would build.

fingerprint = hash(stage, version, result-affecting parameters, schema, fingerprints of all inputs). Threads,
paths, clocks and source text are not part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from raypipe.lake.manifest import InputSummary
from raypipe.pipeline.job import InputRef
from raypipe.schema.family import Params

__all__ = ["fingerprint", "params_digest", "summarise"]

_DIGITS = 32


def params_digest(params: Params) -> str:
    """16 hex digits over the result-affecting values of a parameter set."""
    text = json.dumps(params.tracked(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def summarise(refs: Sequence[InputRef]) -> InputSummary:
    """What one input table contributes to a fingerprint, in a form small enough for a footer."""
    text = "\n".join(f"{ref.partition} {ref.fingerprint}" for ref in refs)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return InputSummary(first=refs[0].partition, last=refs[-1].partition, count=len(refs), digest=digest)


def fingerprint(stage: str, version: int, params: str, schema: str, inputs: Mapping[str, InputSummary]) -> str:
    """32 hex digits: the history of a partition."""
    used = {table: (s.first, s.last, s.count, s.digest) for table, s in inputs.items()}
    text = json.dumps([stage, version, params, schema, used], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]

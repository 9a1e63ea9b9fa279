"""The stages, from raw files to the last table: sources first, then every family that is found.

A stage names what it reads, what it writes, its parameters and how it is built. Sources are listed here;
families are discovered in ``features``, ``events``, ``labels`` and ``dataset`` and ordered by what they read, so a
new family is one new file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from raypipe.errors import DeveloperError
from raypipe.schema.discovery import families
from raypipe.schema.family import Family, Finding, Params, Read, always
from raypipe.schema.spec import Table

if TYPE_CHECKING:
    from raypipe.lake.store import Receipt
    from raypipe.pipeline.job import Target
    from raypipe.pipeline.work import Work

__all__ = ["Built", "Stage", "enabled_stages", "family_catalog", "stage_of_table", "stages"]

#: Where families are looked for; the last one's columns are those of the others.
FAMILY_PACKAGES = ("raypipe.features", "raypipe.events", "raypipe.labels", "raypipe.dataset")


@dataclass(frozen=True, slots=True)
class Built:
    """One target that was committed."""

    target: Target
    receipt: Receipt
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the pipeline.

    Attributes
    ----------
    name, step
        Its own name, and the word that selects it in ``--steps``.
    version, params
        Part of the fingerprint of everything it writes.
    table, requires
        Parameters -> what it writes and what it reads. A source reads ``raw/...``.
    build
        (work, targets) -> what was committed. Runs in a worker.
    cost, memory
        Projected CPU seconds and peak bytes for one partition of a full market.
    chunk, fuse
        How targets share a job: consecutive sessions of one stage, or stages of one session.
    enabled
        Parameters -> whether the stage is in any plan.
    stands
        As of `Family`.
    """

    name: str
    step: str
    version: int
    params: type[Params]
    table: Callable[[Any], Table]
    requires: Callable[[Any], tuple[Read, ...]]
    build: Callable[[Work, tuple[Target, ...]], Iterator[Built]]
    cost: float = 0.05
    memory: int = 256 << 20
    chunk: int = 1
    fuse: str = ""
    enabled: Callable[[Any], bool] = always
    stands: bool = False

    def reads(self, params: Params) -> tuple[Read, ...]:
        """What it reads under these parameters."""
        return self.requires(params)

    def continues(self, params: Params) -> bool:
        """Whether a partition is made from the one before: the stage reads its own table."""
        own = self.table(params).name
        return any(read.table == own for read in self.requires(params))


def _family_stage(family: Family) -> Stage:
    from raypipe.pipeline.work import build_family

    return Stage(
        name=family.name,
        step=family.step or family.name,
        version=family.version,
        params=family.params,
        table=family.table,
        requires=family.requires,
        build=build_family,
        cost=family.cost,
        memory=family.memory,
        chunk=family.chunk,
        fuse=family.fuse,
        enabled=family.enabled,
        stands=family.stands,
    )


@lru_cache(maxsize=1)
def family_catalog() -> Mapping[str, Family]:
    """Every family of the library, by name."""
    found: dict[str, Family] = {}
    for package in FAMILY_PACKAGES:
        for name, family in families(package, found).items():
            if name in found:
                msg = f"two families are named {name!r}"
                raise DeveloperError(msg)
            found[name] = family
    return found


@lru_cache(maxsize=1)
def stages() -> tuple[Stage, ...]:
    """Every stage, each after all that it reads by default."""
    from raypipe.pipeline.bronze import SOURCES
    from raypipe.pipeline.daily_files import DAILY_FILES

    found = (*SOURCES, DAILY_FILES, *map(_family_stage, family_catalog().values()))
    return _in_order(found, {stage.name: stage.params() for stage in found})


def enabled_stages(params: Mapping[str, Params]) -> tuple[Stage, ...]:
    """The stages that these parameters (by stage name) leave switched on, each after all that it reads under them."""
    return _in_order(tuple(stage for stage in stages() if stage.enabled(params[stage.name])), params)


def stage_named(name: str) -> Stage:
    """The stage of that name."""
    return next(stage for stage in stages() if stage.name == name)


@lru_cache(maxsize=1)
def stage_of_table() -> Mapping[str, Stage]:
    """Which stage writes a table, by the table's name."""
    return {stage.table(stage.params()).name: stage for stage in stages()}


def _in_order(unordered: tuple[Stage, ...], params: Mapping[str, Params]) -> tuple[Stage, ...]:
    writes = {stage.table(params[stage.name]).name: stage for stage in unordered}
    done: dict[str, Stage] = {}
    visiting: set[str] = set()

    def visit(stage: Stage) -> None:
        if stage.name in done:
            return
        if stage.name in visiting:
            msg = f"stages read each other in a circle: {sorted(visiting)}"
            raise DeveloperError(msg)
        visiting.add(stage.name)
        for read in stage.reads(params[stage.name]):
            upstream = writes.get(read.table)
            if upstream is not None and upstream is not stage:
                visit(upstream)
        visiting.discard(stage.name)
        done[stage.name] = stage

    for stage in unordered:
        visit(stage)
    return tuple(done.values())

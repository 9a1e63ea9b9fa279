"""Benchmarks state what a unit costs: their ``extra_info`` is printed under the tables."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print one line per benchmark that has something to say."""
    session = getattr(config, "_benchmarksession", None)
    told = [bench for bench in getattr(session, "benchmarks", []) if bench.extra_info]
    if told:
        terminalreporter.section("cost per unit")
    for bench in told:
        facts = ", ".join(f"{name} {value}" for name, value in bench.extra_info.items())
        terminalreporter.write_line(f"{bench.name}: {facts}")

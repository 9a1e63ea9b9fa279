"""Orchestration without Ray: stages, plan, executors, run records."""

from __future__ import annotations

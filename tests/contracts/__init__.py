"""Suites that every family, executor and source must pass."""

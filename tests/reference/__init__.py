"""Slow, plain definitions that the library is held against."""

"""Families that see what they must not, each in its own way, and some that only look as if they did."""

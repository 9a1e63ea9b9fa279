"""Tests on real Ray clusters that they start themselves."""

"""The Ray Tune edge: searches over model parameters, one trial per (symbol, model) study."""

from __future__ import annotations

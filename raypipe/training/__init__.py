"""From a panel and a target to models in use: search, stack, bundle, hold-out, registry, predictions."""

from __future__ import annotations

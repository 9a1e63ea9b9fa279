"""raypipe: distributed batch processing of market data on Ray.

Importing the package loads nothing heavy: no ray, no numba, no pandas, no booster.
"""

from __future__ import annotations

__all__ = ["__version__"]
__version__ = "0.1.0"

"""A synthetic market in the vendor's own formats, with planted answers.

::

    params -> universe -> market (days) -> minutes --+--> writer -> files, truth.json
                                    planted bars ----+
              truth: what follows from the plants        faults: damage to single files
"""

from __future__ import annotations

from raypipe.sources.synthetic.faults import FAULTS, corrupt
from raypipe.sources.synthetic.params import SynthParams, SynthResult
from raypipe.sources.synthetic.writer import write_market

__all__ = ["FAULTS", "SynthParams", "SynthResult", "corrupt", "write_market"]

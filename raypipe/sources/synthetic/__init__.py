"""A synthetic market in the vendor's own formats, with planted answers.

::

    params -> universe -> market (days) -> minutes --+--> writer -> files, truth.json
                                    planted bars ----+
              truth: what follows from the plants        faults: damage to single files

    es_days -> es_path, es_steps -> es_market (books) --+--> dbn_writer, opra -> DBN, OPRA csv
                                                        +--> es_books: SPY's minutes, es_truth
"""

from __future__ import annotations

from raypipe.sources.synthetic.faults import FAULTS, corrupt
from raypipe.sources.synthetic.params import DATASETS, SynthParams, SynthResult
from raypipe.sources.synthetic.writer import write_market

__all__ = ["DATASETS", "FAULTS", "SynthParams", "SynthResult", "corrupt", "write_market"]

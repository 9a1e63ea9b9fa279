"""The Ray Tune edge: searches over model parameters, one trial per (symbol, model) study."""

from __future__ import annotations

import os

# Read when Ray is imported, as tasks.cluster explains.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
# Read when Tune is imported. No CSV, JSON and TensorBoard files per trial, which nobody would look at; and no
# boxes on stdout, which is for data: the newer output prints them however quiet it is told to be.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

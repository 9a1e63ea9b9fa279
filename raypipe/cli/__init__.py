"""The command line: parse here, run in ``raypipe.pipeline``, present in ``raypipe.cli.present``.

Modules of this package import nothing but click at their top, so that ``raypipe --help`` and completion are quick.
"""

from __future__ import annotations

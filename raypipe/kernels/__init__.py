"""Array code: numpy in, numpy out, compiled by numba; no dates, no files, no configuration.

Importing this package costs nothing; importing one of its modules imports numba. A module with a leading underscore
serves the other modules of this package and nobody else.
"""

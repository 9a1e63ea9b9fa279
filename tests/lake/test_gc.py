"""Sweeping: old leftovers go, young ones and everything else stay."""

from __future__ import annotations

import os

from raypipe.lake.gc import gc
from raypipe.lake.objects import temporary_name
from tests.lake.samples import BARS, DAY, bars, local_lake, manifest

NOW_NS = 2_000_000_000_000_000_000


def test_only_old_temporaries_go(tmp_path):
    lake = local_lake(tmp_path)
    lake.write(BARS, DAY, bars(5), manifest())
    place = tmp_path / "bronze" / "bars"
    for name, age_s in [("old", 7200), ("young", 60)]:
        path = place / temporary_name(name)
        path.write_bytes(b"x")
        stamp = NOW_NS - age_s * 10**9
        os.utime(path, ns=(stamp, stamp))
    (place / "notes.tmp").write_bytes(b"somebody's")
    os.utime(place / "notes.tmp", ns=(0, 0))
    for dry_run, left in [(True, 4), (False, 3), (False, 3)]:
        found = gc(lake, grace_seconds=3600, dry_run=dry_run, now_ns=NOW_NS)
        assert len(found) == (1 if left == 4 or dry_run else len(found))
        assert len(list(place.iterdir())) == left
    assert found == []
    assert lake.read(BARS, DAY).num_rows == 5

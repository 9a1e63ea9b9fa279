"""A lake on an S3 server and one in a folder: the same files, byte for byte, from raw to gold."""

from __future__ import annotations

import hashlib
import threading

from raypipe.config import load_config
from raypipe.lake.objects import open_store
from raypipe.pipeline.intake import acquire_configured
from raypipe.pipeline.session import Order, Wish, local_executor, run_wish
from raypipe.sources.synthetic import SynthParams, write_market


def test_a_lake_on_s3_holds_the_bytes_of_one_in_a_folder(moto_server, tmp_path):
    write_market(tmp_path / "vendor", SynthParams(sessions=3, symbols=6, history=4))
    found = []
    for root in (str(tmp_path / "lake"), f"s3://{moto_server.bucket()}/lake"):
        given = {"lake.root": root, "run.executor": "serial", "ingest.from_dir": str(tmp_path / "vendor")}
        given |= {"lake.endpoint_url": moto_server.endpoint_url} if root.startswith("s3://") else {}
        config = load_config(env={}, flags=given, folder=tmp_path)
        code, said = acquire_configured(config, (None, None), progress=lambda _: None, stop=threading.Event())
        assert code == 0, said
        record = run_wish(config, Wish(), Order("a test", local_executor))
        assert record.exit_code == 0
        store = open_store(config.lake.location)
        keys = [stat.key for tier in ("bronze", "silver", "gold") for stat in store.list(f"{tier}/")]
        found.append({key: hashlib.sha256(store.read(key)).hexdigest() for key in keys})
    assert len(found[0]) > 50
    assert found[1] == found[0]

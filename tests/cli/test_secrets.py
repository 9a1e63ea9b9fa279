"""A canary in the place of every secret: it is in no output, log, record or report, whatever goes wrong."""

from __future__ import annotations

import pytest

from tests.cli.conftest import DAY_STEPS, files, spawn

CANARIES = {
    "AWS_ACCESS_KEY_ID": "canaryid0123",
    "AWS_SECRET_ACCESS_KEY": "canary/secret+0123456789",
    "AWS_SESSION_TOKEN": "canarytoken==0123456789",
    "VENDOR_API_KEY": "canaryapikey0123",
}
DEAD = "http://127.0.0.1:9"
RANGE = ("--start", "2025-11-03", "--end", "2025-11-04")


@pytest.fixture
def home(tmp_path):
    """Where a process keeps its logs."""
    return tmp_path / "state"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("ingest", "--root", "lake", "--endpoint-url", DEAD, *RANGE), 5),
        (("run", "--root", "s3://bucket/lake", "--set", f"lake.endpoint_url={DEAD}", "--log-format", "json"), 5),
        (("doctor", "--root", "s3://bucket/x", "--set", f"lake.endpoint_url={DEAD}", "--remote", "--json"), 5),
        (("config", "show", "--origin"), 0),
        (("run", "--root", "no", "--set", "ingest.bucket=canary/secret+0123456789", "--json"), 2),
        (("run", "--root", "http://canaryapikey0123@host/x"), 2),
        (("synth", "--out", "canaryapikey0123\x1b[31m", "--sessions", "0"), 2),
        (("retry", "--root", ".", "--run-id", "canaryapikey0123 x"), 2),
    ],
)
def test_nothing_gets_out(tmp_path, home, args, code):
    done = spawn(*args, "-vv", cwd=tmp_path, env={**CANARIES, "XDG_STATE_HOME": str(home)})
    assert done.code == code, done.err
    assert "canary" not in (done.out + done.err).lower(), done.err
    for name, data in files(tmp_path).items():
        assert b"canary" not in data.lower(), name


def test_runs_records_and_reports_are_clean(tmp_path, lake, home):
    """A file whose first bytes are a signed address: the error repeats them, without the signature."""
    bad = lake / "raw" / "us_stocks_sip" / "day_aggs_v1" / "2025" / "11" / "2025-11-04.csv.gz"
    bad.write_bytes(b"GET /?X-Amz-Signature=canary01 canaryapikey0123\n")
    env = {**CANARIES, "XDG_STATE_HOME": str(home)}
    args = (
        "run",
        "--root",
        lake,
        "--executor",
        "process",
        "--set",
        "ingest.prefix=canaryapikey0123/",
        "-vv",
        *DAY_STEPS,
    )
    done = spawn(*args, cwd=tmp_path, env=env)
    assert done.code == 1
    assert "canary" not in done.out + done.err
    assert list(home.rglob("*.log"))
    bad.unlink()
    for name, data in files(tmp_path).items():
        assert b"canary" not in data, name


def test_flags_with_secrets_are_masked_in_the_record(tmp_path, lake, home):
    args = ("run", "--root", lake, "--executor", "serial", "--steps", "symbols")
    address = ("--set", "ingest.endpoint_url=https://me:canary@host")
    done = spawn(*args, *address, cwd=tmp_path, env={"XDG_STATE_HOME": str(home)})
    assert done.code == 0, done.err
    (record,) = lake.glob("runs/*/run.json")
    text = record.read_text(encoding="utf-8")
    assert "canary" not in text
    assert "https://***@host" in text

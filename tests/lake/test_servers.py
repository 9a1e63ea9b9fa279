"""The servers of the tests themselves: what each of them is trusted with."""

from __future__ import annotations

import dataclasses

import pytest
from botocore.exceptions import ClientError


def test_bytes_come_back(s3_server):
    client, bucket = s3_server.client(), s3_server.bucket()
    client.put_object(Bucket=bucket, Key="a/b", Body=b"text")
    assert client.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"text"


def test_rclone_refuses_a_wrong_checksum_and_a_wrong_secret(rclone_server):
    client, bucket = rclone_server.client(), rclone_server.bucket()
    with pytest.raises(ClientError, match="BadDigest"):
        client.put_object(Bucket=bucket, Key="a", Body=b"text", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==")
    stranger = dataclasses.replace(rclone_server, secret_key="wrong").client()
    with pytest.raises(ClientError, match=r"403|SignatureDoesNotMatch"):
        stranger.list_objects_v2(Bucket=bucket)


def test_proxy_passes_on_and_follows_its_script(flaky, moto_server):
    bucket = moto_server.bucket()
    client = moto_server.client(flaky.endpoint_url)
    client.put_object(Bucket=bucket, Key="k", Body=b"x" * 100)
    flaky.fail(418, "Teapot", method="GET")
    with pytest.raises(ClientError, match="Teapot"):
        client.get_object(Bucket=bucket, Key="k")
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x" * 100
    assert [status for _, _, status in flaky.seen] == [200, 418, 200]

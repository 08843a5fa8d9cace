# SPDX-License-Identifier: Apache-2.0
"""A real S3-compatible server in this process, and places at it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import fsspec
import pytest
from moto.server import ThreadedMotoServer


@contextmanager
def s3_server() -> Iterator[str]:
    """Run a server with a bucket, and let everything find it as users do: by the environment."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    settings = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "secret-word",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in settings.items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="bucket")
        client.close()
        yield url
    # Its connections are to another server than the next one's.
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    server.stop()


def put_files(place: str, files: dict[str, bytes]) -> None:
    """Write files at a URL as another program would."""
    fs, path = fsspec.core.url_to_fs(place, use_listings_cache=False)
    for name, data in files.items():
        fs.pipe_file(f"{path}/{name}", data)


def get_files(place: str) -> dict[str, bytes]:
    """Read every file at a URL as another program would."""
    fs, path = fsspec.core.url_to_fs(place, use_listings_cache=False)
    return {name.removeprefix(f"{path}/"): fs.cat_file(name) for name in fs.find(path)}

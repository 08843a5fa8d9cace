# SPDX-License-Identifier: Apache-2.0
"""Places at a URL that cannot be, cannot be reached, or may not be used: one sentence each."""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.request
from collections import Counter
from pathlib import Path

import boto3
import fsspec
import pytest
from fsspec.registry import _registry

from tests.s3 import put_files
from tests.unit.dataset.remote_places import names, place, s3, server
from veilset.dataset.folder import FolderReader, check_apart
from veilset.dataset.locations import location_of
from veilset.dataset.stores import LocalStore, open_store
from veilset.dataset.urls import answers, connect
from veilset.errors import ConfigError, DatasetError, DecodeError, MissingExtraError, RunError

__all__ = ["place", "s3", "server"]


def test_what_cannot_be_reached_is_one_sentence(
    server: str, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DatasetError, match=r"s3://nobody/x .*bucket does not exist"):
        FolderReader("s3://nobody/x")
    assert not open_store("s3://nobody/x").is_there()
    with pytest.raises(RunError, match=r"s3://nobody/x/a cannot be written .*bucket does not"):
        open_store("s3://nobody/x").write("a", b"")
    store = open_store(s3)
    store.write("a.jpg", b"1")
    with _rights_enforced(server):
        with pytest.raises(DatasetError, match=r"cannot be read .*Check the URL and the cred"):
            FolderReader(s3)
        with pytest.raises(RunError, match=f"{s3} cannot be reached .*it goes on") as caught:
            store.read("a.jpg", 9)
        with pytest.raises(RunError, match=f"{s3}/a.jpg cannot be written"):
            store.write("a.jpg", b"2")
        assert "secret" not in str(caught.value)
    assert store.read("a.jpg", 9) == b"1"
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(DatasetError, match="Unable to locate credentials"):
        FolderReader(s3)
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_one_file_that_cannot_be_read_is_no_end_of_the_run(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_files(place, {"a.jpg": b"1", "b.jpg": b"2"})
    store, (fs, _) = open_store(place), connect(place)
    plain, asked = fs.cat_file, Counter[str]()

    def refuse(path: str, **limits: int) -> bytes:
        asked[path[-5:]] += 1
        if path.endswith("a.jpg") or asked["b.jpg"] == 1:
            raise PermissionError("Access Denied.")
        return bytes(plain(path, **limits))

    monkeypatch.setattr(fs, "cat_file", refuse)
    monkeypatch.setattr("veilset.dataset.remote.connect", lambda url: (fs, connect(url)[1]))
    with pytest.raises(DecodeError, match=r"cannot be read \(Access Denied\)") as caught:
        store.read("a.jpg", 9)
    assert caught.value.reason == "unreadable"
    # What the line swallowed for a moment is asked for again.
    assert store.read("b.jpg", 9) == b"2"
    assert asked == {"a.jpg": 2, "b.jpg": 2}


def test_who_may_use_only_a_part_of_a_bucket(
    server: str, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_files(f"{s3}/in", {"a.jpg": b"1"})
    put_files("s3://bucket/others", {"a.jpg": b"1"})
    mine = s3.replace("s3://", "arn:aws:s3:::") + "/*"
    files = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    rights = [
        {"Effect": "Allow", "Action": files, "Resource": mine},
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::bucket"},
    ]
    iam = boto3.client("iam")
    iam.create_user(UserName="guest")
    policy = json.dumps({"Version": "2012-10-17", "Statement": rights})
    iam.put_user_policy(UserName="guest", PolicyName="part", PolicyDocument=policy)
    key = iam.create_access_key(UserName="guest")["AccessKey"]
    iam.close()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    source, target, foreign = map(open_store, (f"{s3}/in", f"{s3}/out", "s3://bucket/others"))
    with _rights_enforced(server):
        assert target.is_there()
        target.write("b.jpg", source.read("a.jpg", 9) + b"2")
        assert list(target.everything()) == [("b.jpg", "file")]
        with pytest.raises(RunError, match=r"others/b.jpg cannot be written \(Access Denied\)"):
            foreign.write("b.jpg", b"")
        with pytest.raises(RunError, match=r"others cannot be reached \(Forbidden\)"):
            foreign.read("a.jpg", 9)
    assert target.read("b.jpg", 9) == b"12"
    assert names(foreign)[0] == ["a.jpg"]
    fsspec.get_filesystem_class("s3").clear_instance_cache()


class _rights_enforced:  # noqa: N801  reads as a verb
    """The server knows no user, so that every request is one without rights."""

    def __init__(self, server: str) -> None:
        self._url = f"{server}/moto-api/reset-auth"

    def __enter__(self) -> None:
        self._allow(0)

    def __exit__(self, *_: object) -> None:
        self._allow(10**9)

    def _allow(self, n_requests: int) -> None:
        words = urllib.request.Request(
            self._url, str(n_requests).encode(), {"Content-Type": "application/octet-stream"}
        )
        urllib.request.urlopen(words).close()


def test_what_cannot_be_a_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Protocol not known"):
        FolderReader("nosuch://x")
    with pytest.raises(ConfigError, match="chain of URLs"):
        FolderReader("simplecache::s3://bucket/x")
    with pytest.raises(MissingExtraError, match="pip install adlfs"):
        FolderReader("az://container/x")
    with pytest.raises(MissingExtraError, match="pip install gcsfs"):
        FolderReader("gs://bucket/x")
    monkeypatch.delitem(_registry, "s3", raising=False)
    for module, says in (("s3fs", "at s3:// is not"), ("fsspec.core", "at a URL is not")):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(MissingExtraError, match=rf"{says}.*'veilset\[remote\]'"):
                FolderReader("s3://bucket/x")
    local = open_store(f"file://{tmp_path}")
    assert isinstance(local, LocalStore)
    assert local.root == tmp_path


def test_a_file_url_is_a_path_that_was_quoted(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"a b#\xe9%41")
    folder.mkdir()
    assert "%20b" in folder.as_uri()
    for host in ("", "localhost"):
        local = open_store(folder.as_uri().replace("file://", f"file://{host}"))
        assert local.root == folder
        assert local.is_there()
    # What nobody quoted stays as it is.
    assert location_of("file:///a b#c?d") == Path("/a b#c?d")
    for url, host in (("file://nas/photos", "nas"), ("file://photos", "photos"), ("file://", "")):
        with pytest.raises(ConfigError, match=f"{url} is no path .*'{host}'.*three slashes"):
            open_store(url)


def test_places_that_lie_in_each_other(tmp_path: Path) -> None:
    check_apart("s3://bucket/a", "s3://bucket/ab")
    check_apart("s3://bucket/a", "memory://bucket/a")
    check_apart(tmp_path, f"s3:/{tmp_path}")
    for source, target in (
        ("s3://bucket/a/", "s3://bucket/a"),
        ("s3://bucket", "s3://bucket/a"),
        ("https://me:secret@host/a/b", "https://host/a"),
        (f"file://{tmp_path}/a", tmp_path),
    ):
        with pytest.raises(DatasetError, match="lie in each other") as caught:
            check_apart(source, target)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Forbidden,\n  url='https://me:secret@host/a.jpg?token=secret'",
            "url='https://host/a.jpg'",
        ),
        ("no route to https://host/a?X-Amz-Signature=secret.", "no route to https://host/a"),
        ("", "ValueError"),
    ],
)
def test_no_credentials_are_repeated(text: str, expected: str) -> None:
    with pytest.raises(OSError, match=re.escape(expected)) as caught, answers():
        raise ValueError(text)
    assert "secret" not in str(caught.value)


def test_written_only_where_files_appear_whole(tmp_path: Path) -> None:
    store = open_store("sftp://host/x")
    with pytest.raises(RunError, match="half written"):
        store.write("a", b"")
    with pytest.raises(RunError, match="half written"), store.create("a"):
        pass

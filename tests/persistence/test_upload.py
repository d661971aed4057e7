"""Snapshots that somebody has sent."""

from __future__ import annotations

import gzip
import logging

import pytest

from pyzk.data.database import Database
from pyzk.errors import Corrupt
from pyzk.persistence.directory import MemoryDirectory
from pyzk.persistence.recovery import RecoveryOptions
from pyzk.persistence.snapshot import write_snapshot
from pyzk.persistence.upload import UPLOAD_NAME, load_upload
from tests.persistence.disks import contents, get, put, workload
from tests.transactions import database_of

PAYLOADS = workload(20)
OPTIONS = RecoveryOptions(committed_log_count=500)


def body(suffix: str = "", *, last_zxid_section: bool = True) -> bytes:
    directory = MemoryDirectory()
    frozen = database_of(PAYLOADS).freeze()
    name = write_snapshot(directory, frozen, suffix=suffix, last_zxid_section=last_zxid_section)
    return get(directory, name)


def load(content: bytes, options: RecoveryOptions = OPTIONS) -> Database:
    directory = MemoryDirectory()
    put(directory, UPLOAD_NAME, content)
    return load_upload(directory, UPLOAD_NAME, options)


@pytest.mark.parametrize("suffix", ["", ".gz", ".snappy"])
def test_it_says_its_zxid_itself(suffix: str) -> None:
    database = load(body(suffix))
    assert database.last_zxid == 20
    assert contents(database) == contents(database_of(PAYLOADS))
    assert database.committed is not None


def test_every_end_that_is_missing_is_missed() -> None:
    whole = body()
    for length in range(len(whole)):
        with pytest.raises(Corrupt):
            load(whole[:length])
    packed = gzip.compress(whole)
    for length in range(0, len(packed), 7):
        with pytest.raises(Corrupt):
            load(packed[:length])


def test_what_stands_behind_it_is_too_much() -> None:
    with pytest.raises(Corrupt):
        load(body() + b"\x00\x00\x00\x01/")


def test_every_byte_that_differs_is_found() -> None:
    whole = body()
    for at in range(0, len(whole), 3):
        spoilt = bytearray(whole)
        spoilt[at] ^= 0x10
        with pytest.raises(Corrupt):
            load(bytes(spoilt))


def test_one_without_its_last_zxid_is_none() -> None:
    with pytest.raises(Corrupt, match="does not say its last zxid"):
        load(body(last_zxid_section=False))


def test_one_of_no_moment_is_told(caplog: pytest.LogCaptureFixture) -> None:
    directory = MemoryDirectory()
    frozen = database_of(PAYLOADS).freeze()
    frozen.digest = 5
    content = get(directory, write_snapshot(directory, frozen))
    with caplog.at_level(logging.WARNING):
        assert load(content).last_zxid == 20
    assert "the snapshot is not the state of one moment" in caplog.text


def test_znodes_with_an_unknown_acl_are_refused() -> None:
    database = database_of(PAYLOADS)
    database.tree.nodes["/"].acl_id = 99
    directory = MemoryDirectory()
    content = get(directory, write_snapshot(directory, database.freeze()))
    with pytest.raises(Corrupt, match="ACL lists that are not defined anywhere"):
        load(content)

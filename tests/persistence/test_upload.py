"""Snapshots that somebody has sent."""

from __future__ import annotations

import gzip
import logging
import struct
import zlib

import pytest

from pyzk.constants import CONTAINER_OWNER
from pyzk.data.database import Database
from pyzk.data.tree import ttl_owner
from pyzk.data.txn import DIGEST_VERSION
from pyzk.errors import Corrupt
from pyzk.persistence.directory import MemoryDirectory
from pyzk.persistence.recovery import RecoveryOptions
from pyzk.persistence.snapshot import write_snapshot
from pyzk.persistence.upload import LAST_ZXID, UPLOAD_NAME, load_upload
from pyzk.zxid import make
from tests.persistence.disks import contents, get, put, workload
from tests.transactions import create, database_of

PAYLOADS = workload(20)
SEAL_BYTES, DIGEST_BYTES, ZXID_BYTES = 13, 20, 8
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


def written(database: Database) -> bytes:
    directory = MemoryDirectory()
    return get(directory, write_snapshot(directory, database.freeze()))


@pytest.mark.parametrize("session_id", [1, 0x1234, -(1 << 62)])
@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/n2", "znode '/n2' belongs to session .*, though it has children"),
        ("/", "znode '/' belongs to session .*, though every tree has it"),
        ("/zookeeper", "though every tree has it"),
        ("/zookeeper/quota", "though every tree has it"),
        ("/zookeeper/config", "though every tree has it"),
    ],
)
def test_what_would_go_with_a_session_and_leave_others_behind_is_refused(
    path: str, error: str, session_id: int
) -> None:
    database = database_of([*PAYLOADS, create(21, "/n2/below", b"")])
    node = database.tree.nodes[path]
    node.ephemeral_owner = session_id
    content = written(database)
    with pytest.raises(Corrupt, match=error):
        load(content)


def test_containers_and_ttl_znodes_may_have_children() -> None:
    database = database_of([*PAYLOADS, create(21, "/n2/below", b"")])
    options = OPTIONS._replace(extended_types=True)
    for owner in (CONTAINER_OWNER, ttl_owner(1000)):
        database.tree.nodes["/n2"].ephemeral_owner = owner
        assert load(written(database), options).tree.nodes["/n2"].children
    with pytest.raises(Corrupt, match="it has children"):
        load(written(database))  # without extended types that is a session


@pytest.mark.parametrize(
    "zxid", [-1, -(1 << 63), (1 << 63) - 1, (1 << 63) - 2, make(0x7FFF_FFFF, 0), LAST_ZXID + 1]
)
def test_a_zxid_that_leaves_no_room_is_refused(zxid: int) -> None:
    database = database_of(PAYLOADS)
    whole = written(database)
    tree = whole[: -2 * SEAL_BYTES - ZXID_BYTES - DIGEST_BYTES]
    good = make(1, 1)
    for digest_zxid, last_zxid in ((good, zxid), (zxid, good)):
        body = sealed(tree + struct.pack(">qiQ", digest_zxid, DIGEST_VERSION, 0))
        body = sealed(body + struct.pack(">q", last_zxid))
        with pytest.raises(Corrupt, match="is no zxid after which"):
            load(body)


def test_the_last_zxid_with_room_is_taken() -> None:
    database = database_of(PAYLOADS)
    database.tree.last_zxid = LAST_ZXID
    assert load(written(database)).last_zxid == LAST_ZXID


def sealed(content: bytes) -> bytes:
    return content + struct.pack(">q", zlib.adler32(content)) + b"\0\0\0\x01/"

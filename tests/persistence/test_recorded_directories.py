"""Every recorded data directory of a real server loads to the recorded tree, or is refused."""

from __future__ import annotations

import gzip
import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from pyzk.data.database import Database
from pyzk.errors import StorageError
from pyzk.persistence.recovery import Recovered, RecoveryOptions, recover
from tests.persistence.disks import unpack

ROOT = Path(__file__).parent.parent / "testdata" / "storage"
SETS = sorted(
    f"{archive.parent.name}/{archive.name.removesuffix('.tar.gz')}"
    for archive in ROOT.glob("*/*.tar.gz")
)

STRICTER = {
    "f_eor": "the end byte of a record in the middle is wrong; Java drops every later txn silently",
    "f_gap": "a record in the middle is missing; Java goes on and its tree is wrong",
    "f_missing_log": "a log in the middle is missing; Java goes on and its tree is wrong",
}
"""Sets on which Java starts and pyzk does not."""

MORE_LENIENT = {
    "3.9.3/a_nodigest": "sections are told apart by their length; Java takes the zxid for a digest",
    "3.9.3/e_header_part": "a log that died before its header was written never had a record",
    "3.8.0/e_header_part": "a log that died before its header was written never had a record",
    "3.8.0/e_log_empty": "as above with 0 bytes; 3.9.3 starts, too",
}
"""Sets on which Java does not start and pyzk does, losing nothing."""

_STAT = struct.Struct(">qqqqiiiqiiq")


def expected(name: str) -> dict[str, Any]:
    with gzip.open(ROOT / f"{name}.json.gz") as file:
        answer: dict[str, Any] = json.load(file)
        return answer


def load(name: str, options: RecoveryOptions | None = None) -> Recovered:
    snap_directory, log_directory = unpack(ROOT / f"{name}.tar.gz")
    recovered = recover(
        snap_directory, log_directory, options or RecoveryOptions(extended_types=True)
    )
    # What a server does when it begins to serve, and so part of what was recorded.
    recovered.database.kill_dead_sessions()
    return recovered


def as_recorded(database: Database, path: str) -> dict[str, object]:
    """Return a znode in the form of the recordings."""
    node = database.tree.nodes[path]
    fields = _STAT.unpack(node.encode_stat())
    czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, length, children, pzxid = fields
    return {
        "data": None if node.data is None else node.data.hex(),
        "acl": [
            {"perms": acl.perms, "scheme": acl.scheme, "id": acl.id}
            for acl in database.tree.acls.get(node.acl_id)
        ],
        "stat": {
            "czxid": hex(czxid),
            "mzxid": hex(mzxid),
            "ctime": ctime,
            "mtime": mtime,
            "version": version,
            "cversion": cversion,
            "aversion": aversion,
            "ephemeralOwner": hex(owner & 0xFFFFFFFFFFFFFFFF),
            "dataLength": length,
            "numChildren": children,
            "pzxid": hex(pzxid),
        },
    }


def legible(node: dict[str, Any]) -> dict[str, Any]:
    """Blur characters beyond the basic plane: Java damages them in ACL ids when it restarts, and
    how many replacement characters stand for one is its decoder's affair."""
    for acl in node["acl"]:
        acl["id"] = re.sub(r"[\ufffd\ud800-\udfff\U00010000-\U0010ffff]+", "?", acl["id"])
    return node


def assert_as_recorded(recovered: Recovered, recorded: dict[str, Any], *, complete: bool) -> None:
    database = recovered.database
    assert recovered.last_zxid & 0xFFFFFFFFFFFFFFFF == int(recorded["lastZxid"], 16)
    assert database.last_zxid == recovered.last_zxid
    assert database.tree.node_count == recorded["nodeCount"]
    assert sorted(hex(session) for session in database.sessions) == sorted(recorded["sessions"])
    timeouts = {hex(session): timeout for session, timeout in database.sessions.items()}
    for session, timeout in recorded.get("sessionTimeouts", {}).items():
        assert timeouts[session] == timeout
    ephemerals = {hex(owner): sorted(paths) for owner, paths in database.tree.ephemerals.items()}
    assert ephemerals == {owner: sorted(p) for owner, p in recorded["ephemerals"].items()}
    if complete:
        assert sorted(database.tree.nodes) == sorted(recorded["tree"])
    for path, node in recorded["tree"].items():
        assert legible(as_recorded(database, path)) == legible(node), path
    assert database.digest_mismatches == 0


@pytest.mark.parametrize("name", SETS)
def test_directory_loads_as_recorded(name: str) -> None:
    answer = expected(name)
    recorded = answer["restart"]
    kind = name.partition("/")[2]
    if kind in STRICTER or (not recorded["starts"] and name not in MORE_LENIENT):
        with pytest.raises(StorageError) as refused:
            load(name)
        assert "version-2" in refused.value.path
        assert refused.value.remedy
    elif name in MORE_LENIENT:
        assert not recorded["starts"]
        load(name)
    else:
        assert_as_recorded(load(name), recorded, complete="note" not in answer)


@pytest.mark.parametrize("version", ["3.9.3", "3.8.0"])
def test_logs_alone_load_when_the_operator_trusts_them(version: str) -> None:
    recorded = expected(f"{version}/b_logonly")["restartVariants"]["snapshot.trust.empty"]
    recovered = load(
        f"{version}/b_logonly", RecoveryOptions(extended_types=True, trust_empty_snapshot=True)
    )
    assert_as_recorded(recovered, recorded, complete=True)


def test_snapshot_without_digest_section_loads_as_with_digests_off() -> None:
    recorded = expected("3.9.3/a_nodigest")["restartVariants"]["digest disabled"]
    assert_as_recorded(load("3.9.3/a_nodigest"), recorded, complete=True)
    off = load("3.9.3/a_nodigest", RecoveryOptions(extended_types=True, digests=False))
    assert_as_recorded(off, recorded, complete=True)


@pytest.mark.parametrize("version", ["3.9.3", "3.8.0"])
def test_empty_directory_is_no_database_when_autocreate_is_off(version: str) -> None:
    recovered = load(f"{version}/b_empty", RecoveryOptions(autocreate=False))
    assert recovered.last_zxid == -1
    assert recovered.database.last_zxid == -1


def test_headerless_log_loads_as_if_it_were_absent() -> None:
    for version in ("3.9.3", "3.8.0"):
        recovered = load(f"{version}/e_header_part")
        assert recovered.last_zxid == 0
        assert any("no header" in note for note in recovered.notes)


@pytest.mark.parametrize(
    ("kind", "offset"), [("f_crc_mid", 8654), ("f_eor", 8654), ("f_gap", 8654), ("f_magic", 0)]
)
def test_refusal_names_file_offset_and_remedy(kind: str, offset: int) -> None:
    with pytest.raises(StorageError) as refused:
        load(f"3.9.3/{kind}")
    assert refused.value.path == "version-2/log.1"
    assert refused.value.offset == offset
    assert str(refused.value).startswith("version-2/log.1: ")
    assert f"at offset {offset}; " in str(refused.value)

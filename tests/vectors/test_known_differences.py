"""What this server answers where it deliberately differs from the original.

The list with the reasons is conformance/known_differences.py.
"""

from __future__ import annotations

import pytest

from conformance import wire
from conformance.in_process import PeerTarget, configured
from conformance.replay import Pipe


@pytest.fixture
def pipe() -> Pipe:
    """A session on a fresh server with extended types."""
    target = PeerTarget(configured({}, {"zookeeper.extendedTypesEnabled": "true"}))
    opened = target.open()
    opened.send(wire.frame(wire.connect()))
    assert opened.frame(0) is not None
    return opened


def call(pipe: Pipe, op: str, body: bytes) -> wire.Decoded:
    pipe.send(wire.frame(wire.request(1, wire.OPS[op], body)))
    whole = pipe.frame(0)
    assert whole is not None
    return wire.decode_reply(whole[4:], wire.OPS[op])


def test_a_client_cannot_delete_containers_past_the_acl(pipe: Pipe) -> None:
    call(pipe, "create", wire.create("/plain"))
    assert call(pipe, "deleteContainer", wire.string("/plain"))["err"] == -8
    assert call(pipe, "exists", wire.path_watch("/plain"))["err"] == 0


def test_create_session_on_an_open_connection_is_an_unknown_operation(pipe: Pipe) -> None:
    assert call(pipe, "createSession", wire.i32(10000))["err"] == -6
    assert pipe.eof


@pytest.mark.parametrize("flags", [0, 1, 2, 3, 4])
def test_create_ttl_without_a_ttl_node_is_a_bad_argument(pipe: Pipe, flags: int) -> None:
    body = wire.create_ttl("/bad", b"", wire.OPEN, flags, -1)
    assert call(pipe, "createTTL", body)["err"] == -8
    assert call(pipe, "exists", wire.path_watch("/bad"))["err"] == -101


def test_ipv6_addresses_are_valid_in_acls(pipe: Pipe) -> None:
    acl = (wire.Acl(31, "ip", "::1/64"),)
    assert call(pipe, "create", wire.create("/six", acl=acl))["err"] == 0

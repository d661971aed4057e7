"""Where the members of an ensemble listen, and what is in conflict there.

Pure. ZooKeeper: QuorumPeerConfig.setupClientPort, for the client address that is given twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pyzk.config.members import (
    WILDCARD,
    QuorumServer,
    bracketed,
    is_same_host,
    same_address,
)
from pyzk.config.settings import Resolve


class Place(NamedTuple):
    """A port of a member."""

    what: str
    """The name of the port."""
    sid: int
    host: str
    port: int


def listening(member: QuorumServer) -> list[str]:
    """Return where a member listens for others."""
    out = []
    for address in member.addresses:
        host = bracketed(address.host)
        out += [f"{host}:{address.quorum_port}", f"{host}:{address.election_port}"]
    return out


def taken_from_masters(
    port: int, members: Iterable[QuorumServer], *, is_on_all: bool
) -> Place | None:
    """Return what keeps a participant from opening ``port`` for observers: a port of the same
    number at one of the addresses of a participant. ``is_on_all`` tells whether participants listen
    on all addresses of their machines."""
    members = list(members)
    voters = [member for member in members if not member.is_observer]
    hosts = {address.host for voter in voters for address in voter.addresses}
    for member in members:
        has_all = is_on_all and not member.is_observer
        for place in _places(member):
            if place.port == port and (
                has_all or any(is_same_host(place.host, host) for host in hosts)
            ):
                return place
    return None


def _places(member: QuorumServer) -> Iterator[Place]:
    sid = member.sid
    for address in member.addresses:
        yield Place("quorum port", sid, address.host, address.quorum_port)
        yield Place("election port", sid, address.host, address.election_port)
    if member.client_port is None:
        return
    has_all = any(same_address(member.client_host, each) for each in (WILDCARD, "::"))
    hosts = [each.host for each in member.addresses] if has_all else [member.client_host]
    for host in hosts:
        yield Place("client port", sid, host, member.client_port)


def check_client_address(
    host: str | None, port: int, member: QuorumServer, resolve: Resolve
) -> None:
    """Check that `clientPortAddress` and `clientPort` agree with what the line of `member` says.

    Where they do, the line counts: clientPortAddress need not be set, and may be all addresses.
    Raises ValueError. ZooKeeper: QuorumPeerConfig.setupClientPort.
    """
    assert member.client_port is not None, member
    mine, its = (host or WILDCARD).removeprefix("[").removesuffix("]"), member.client_host
    shown = [f"{bracketed(mine)}:{port}", f"{bracketed(its)}:{member.client_port}"]
    if port == member.client_port:
        if mine.lower() == its.lower():
            return
        # What has colons is an address, perhaps with a scope that a resolver would not take.
        address = mine if ":" in mine else resolve(mine)
        if same_address(address, WILDCARD) or same_address(address, "::"):
            return
        other = its if ":" in its else resolve(its)
        if same_address(address, other):
            return
        for at, (name, found) in enumerate(((mine, address), (its, other))):
            if found != name:
                shown[at] += f" ({found or 'unknown host'})"
    raise ValueError(
        f"{shown[0]} differs from {shown[1]} in server.{member.sid}; remove clientPort and"
        " clientPortAddress here, or make them the same"
    )

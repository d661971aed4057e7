"""From a client's reconfig request to the configuration that it asks for, or the error.

Pure. A request names the whole new configuration, or the servers that join and leave. Only the
second form looks at the present configuration, and only where quorums are majorities.

The error is the original's, which does not say why: BadArguments for a configuration that cannot
be, MarshallingError for a number that is none, or names no port or no server.

ZooKeeper: PrepRequestProcessor (case reconfig), QuorumPeerConfig.parseDynamicConfig and
QuorumServer.checkAddressDuplicate

Where this differs from ZooKeeper, on purpose: two host names that mean one address are not found to
be in conflict, for no name is looked up here; equal names are, also one that has no address. A text
that members would read as another configuration, or not at all, or that is too long for the
notifications of an election, is refused: with it ZooKeeper's members elect nobody any more. A group
may hold only participants of the new configuration, of which one must have a weight.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs

from pyzk.config.members import (
    MAX_ID,
    MemberLines,
    Membership,
    QuorumServer,
    config_text,
    parse_member,
    parse_membership,
)
from pyzk.config.properties import Entry, parse_properties, trim
from pyzk.errors import BadArguments, ConfigError, MarshallingError
from pyzk.quorum.election_messages import MAX_CONFIG_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyzk.jute.records import ReconfigRequest

_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,64}")
_HEXADECIMAL: Final = re.compile(r"[+-]?[0-9a-fA-F]{1,16}")
_PARTS: Final = re.compile(r"[:;|]")
_NUMBERED: Final = ("server", "group", "weight")


def plan_reconfig(
    request: ReconfigRequest,
    last_seen: Membership,
    version: int,
    *,
    is_standalone_enabled: bool,
    is_multi_address_enabled: bool,
) -> Membership:
    """Returns the configuration that a client asks for, with ``version``. Raises BadArguments or
    MarshallingError if there is no such configuration.

    ``last_seen`` is what joining and leaving servers change."""
    asked = (request.joining_servers, request.leaving_servers, request.new_members)
    size = sum(len(text) for text in asked if text is not None)
    if size > MAX_CONFIG_BYTES:
        raise BadArguments(f"a request of {size} bytes; {MAX_CONFIG_BYTES} are the most")
    if request.new_members is not None:
        planned = _whole(request.new_members, is_standalone_enabled)
    else:
        planned = _changed(last_seen, request.joining_servers, request.leaving_servers)
    if not is_multi_address_enabled:
        for member in planned.members:
            if len(member.addresses) > 1:
                raise BadArguments(f"server {member.sid} has several addresses")
    least = 2 if is_standalone_enabled else 1
    if len(planned.voters) < least:
        raise BadArguments(f"{len(planned.voters)} participants; there must be {least} at least")
    planned = attrs.evolve(planned, version=version)
    _check_text(planned)
    return planned


def _check_text(planned: Membership) -> None:
    """Refuses what members, which are sent the text and find it in their files, would not read as
    what is planned (a backslash in the name of a host is an escape there), and what is too long to
    be told in an election."""
    text = config_text(planned).encode("utf-8")
    if len(text) > MAX_CONFIG_BYTES:
        raise BadArguments(f"a configuration of {len(text)} bytes; {MAX_CONFIG_BYTES} are the most")
    try:
        is_same = parse_membership(text) == planned
    except ConfigError as error:
        raise BadArguments(f"the text could not be read: {error}") from None
    if not is_same:
        raise BadArguments("the text would be read as another configuration")


# --- the whole configuration ----------------------------------------------------------


def _whole(text: str, is_standalone_enabled: bool) -> Membership:
    """Returns the configuration that a text gives, whose lines commas may separate."""
    try:
        entries = {each.key: each for each in parse_properties(_ascii(text.replace(",", "\n")))}
        lines = MemberLines()
        servers = {entry.key.partition(".")[2] for entry in entries.values() if _is_server(entry)}
        for entry in entries.values():
            _check_numbers(entry, servers)
        for entry in entries.values():
            lines.add(entry)
        planned = lines.membership()
    except ConfigError as error:
        raise BadArguments(str(error)) from None
    voters = len(planned.voters)
    if not voters and not is_standalone_enabled:
        raise MarshallingError("no participants")
    if voters < 2 and is_standalone_enabled and planned.observers:
        raise MarshallingError("observers without a quorum")
    return planned


def _ascii(text: str) -> bytes:
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        raise BadArguments("not ASCII") from None


def _is_server(entry: Entry) -> bool:
    return entry.key.startswith("server.")


def _check_numbers(entry: Entry, servers: set[str]) -> None:
    """Refuses a number that is none, or that no server has, in a line of a known kind: that is
    another error than all else that can be wrong with the line."""
    kind, _, number = entry.key.partition(".")
    if kind in _NUMBERED:
        _long(number)
    if kind == "server":
        _check_ports(entry.value)
    elif kind == "weight":
        _long(entry.value)
    elif kind == "group":
        for each in map(trim, entry.value.split(":")):
            if str(_long(each)) not in servers:
                raise MarshallingError(f"there is no server {each}")
    elif entry.key == "version" and not _HEXADECIMAL.fullmatch(entry.value):
        raise MarshallingError(f"{entry.value!r} is not a version")


def _check_ports(text: str) -> None:
    """Refuses a number that is no port; what is no number at all is another error."""
    for part in _PARTS.split(text):
        if _NUMBER.fullmatch(part) and not 0 <= int(part) <= 65535:
            raise MarshallingError(f"{part} is not a port")


def _long(text: str) -> int:
    """Returns the number that Long.parseLong reads."""
    if not _NUMBER.fullmatch(text) or not -MAX_ID - 1 <= int(text) <= MAX_ID:
        raise MarshallingError(f"{text!r} is not a number")
    return int(text)


# --- servers that join and leave ------------------------------------------------------


def _changed(last_seen: Membership, joining: str | None, leaving: str | None) -> Membership:
    """Returns a configuration in which servers have joined and left; one that joins takes the place
    of the one that has its id."""
    if last_seen.groups:
        raise BadArguments("a configuration with groups is not changed in parts")
    members = {member.sid: member for member in last_seen.members}
    for text in _listed(leaving, ","):
        members.pop(_long(text), None)
    taken = _Endpoints(members.values())
    for text in _listed(joining, ","):
        joiner = _joiner(text)
        taken.check(joiner)
        former = members.get(joiner.sid)
        if former is not None:
            taken.remove(former)
        taken.add(joiner)
        members[joiner.sid] = joiner
    return Membership(tuple(members[sid] for sid in sorted(members)))


def _listed(text: str | None, separator: str) -> list[str]:
    parts = [trim(part) for part in (text or "").split(separator)]
    return [part for part in parts if part]


def _joiner(text: str) -> QuorumServer:
    parts = _listed(text, "=")
    if len(parts) != 2:
        raise BadArguments(f"{text!r} is not server.N=address")
    sid = _long(parts[0].rpartition(".")[2])
    if sid < 0:
        raise BadArguments(f"{sid} is not a server id")
    _ascii(parts[1])
    _check_ports(parts[1])
    try:
        joiner = parse_member(sid, parts[1])
    except ValueError as error:
        raise BadArguments(f"server {sid} {error}") from None
    if joiner.client_port is None:
        raise BadArguments(f"server {sid} has no client port")
    return joiner


# --- addresses that two servers cannot both have --------------------------------------


class _Endpoints:
    """The addresses of the members of a configuration, and whose they are. Whoever may connect may
    ask for thousands of servers, and what that costs must not grow with their square."""

    def __init__(self, members: Iterable[QuorumServer]) -> None:
        self._owners: dict[tuple[str, int], set[int]] = {}
        for member in members:
            self.add(member)

    def add(self, server: QuorumServer) -> None:
        """Adds the addresses of a server."""
        for endpoint in _endpoints(server):
            self._owners.setdefault(endpoint, set()).add(server.sid)

    def remove(self, server: QuorumServer) -> None:
        """Takes the addresses of a server out."""
        for endpoint in _endpoints(server):
            self._owners[endpoint].discard(server.sid)

    def check(self, joiner: QuorumServer) -> None:
        """Refuses an address of another member. What is reached from its own host only is
        exempt."""
        for endpoint in _endpoints(joiner):
            others = self._owners.get(endpoint, set()) - {joiner.sid}
            if others:
                host, port = endpoint
                raise BadArguments(f"{host}:{port} is an address of server {min(others)}")


def _endpoints(server: QuorumServer) -> set[tuple[str, int]]:
    """Returns the addresses of a server in one spelling, without those that are exempt."""
    found: set[tuple[str, int]] = set()
    for each in server.addresses:
        host = _spelling(each.host)
        if host:
            found |= {(host, each.quorum_port), (host, each.election_port)}
    if server.client_port is not None and (host := _spelling(server.client_host)):
        found.add((host, server.client_port))
    return found


def _spelling(host: str) -> str:
    """Returns the one spelling of a host; empty for a loopback or a wildcard address."""
    import ipaddress  # start-up is measured, and few need it

    host = host.lower()
    if host == "localhost":
        return ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    address = getattr(address, "ipv4_mapped", None) or address
    return "" if address.is_loopback or address.is_unspecified else str(address)

"""The members of an ensemble: `server.N`, `group.N`, `weight.N` and `version`, as text and parsed.

Pure. The same lines stand in `zoo.cfg`, in a dynamic configuration file, in the znode
`/zookeeper/config`, in election notifications and in NEWLEADER:

    server.<id>=<host>:<quorumPort>:<electionPort>[:<role>][|<host>:...][;[<host>:]<clientPort>]

The canonical form, `config_text`, is the original's to the byte: the role always written, once,
behind the addresses, which are sorted by host; IPv6 spelt out without `::`; the lines in the order
of a Java HashMap; `version=` and hexadecimal last, no newline behind it. A client address that
comes from `clientPort` is not part of it.
ZooKeeper: QuorumPeer.QuorumServer, QuorumPeerConfig.parseDynamicConfig, QuorumMaj,
QuorumHierarchical.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import attrs

from pyzk.config.kinds import whole_number
from pyzk.config.properties import Entry, parse_properties, trim
from pyzk.errors import ConfigError
from pyzk.int64 import hex_digits, signed

WILDCARD: Final = "0.0.0.0"  # noqa: S104 - what the original writes for "all addresses"
FORM: Final = "host:quorumPort:electionPort[:role][;[host:]clientPort]"
MAX_ID: Final = (1 << 63) - 1
MAX_ADDRESS_BYTES: Final = 2048
"""The longest text of the addresses of one server: it says them first on the election port, and is
not heard with more."""

_HEXADECIMAL: Final = re.compile(r"-?[0-9a-fA-F]{1,16}")


@attrs.frozen(order=True)
class ServerAddress:
    """Where a member listens for peers; addresses sort by host."""

    host: str
    """The name or address of the host; an IPv6 address is without brackets."""
    quorum_port: int
    election_port: int

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.quorum_port}:{self.election_port}"


@attrs.frozen
class QuorumServer:
    """One server of the ensemble."""

    sid: int
    addresses: tuple[ServerAddress, ...]
    """Its addresses, sorted by host; more than one needs multiAddress.enabled."""
    is_observer: bool = False
    client_host: str = WILDCARD
    client_port: int | None = None
    """The client port; None if the line of the server does not name it, but `clientPort` of that
    server does."""

    def __str__(self) -> str:
        """Return the canonical text behind `server.N=`."""
        text = "|".join(str(address) for address in self.addresses)
        text += ":observer" if self.is_observer else ":participant"
        if self.client_port is not None:
            text += f";{bracketed(self.client_host)}:{self.client_port}"
        return text


def _texts_of(membership: Membership) -> dict[int, str]:
    return {member.sid: str(member) for member in membership.members}


@attrs.frozen
class Membership:
    """One version of the ensemble's configuration."""

    members: tuple[QuorumServer, ...]
    """The servers, by id."""
    version: int = 0
    """The zxid of the transaction that made this version; 0 for one that a person wrote."""
    groups: tuple[tuple[int, tuple[int, ...]], ...] = ()
    """The groups as (group id, server ids); if there are any, quorums are hierarchical."""
    weights: tuple[tuple[int, int], ...] = ()
    """The weights as (server id, weight) of every participant, if there are groups."""
    _texts: dict[int, str] = attrs.field(
        init=False, eq=False, repr=False, default=attrs.Factory(_texts_of, takes_self=True)
    )
    """Server id -> canonical text, which is asked for far more often than there is another one."""

    @property
    def voters(self) -> tuple[int, ...]:
        return tuple(member.sid for member in self.members if not member.is_observer)

    @property
    def observers(self) -> tuple[int, ...]:
        return tuple(member.sid for member in self.members if member.is_observer)

    def member(self, sid: int) -> QuorumServer | None:
        for member in self.members:
            if member.sid == sid:
                return member
        return None

    def texts(self) -> dict[int, str]:
        """Return server id -> canonical text."""
        return dict(self._texts)

    def lines(self) -> list[str]:
        """Return the lines of the canonical text without the last one, `version`."""
        out = [f"server.{sid}={self._texts[sid]}" for sid in hash_order(self._texts)]
        groups = {
            gid: f"group.{gid}={':'.join(str(sid) for sid in sids)}" for gid, sids in self.groups
        }
        out += [groups[gid] for gid in hash_order(groups)]
        weights = {sid: f"weight.{sid}={weight}" for sid, weight in self.weights}
        out += [weights[sid] for sid in hash_order(weights)]
        return out


def config_text(membership: Membership) -> str:
    """Return the canonical text, which `/zookeeper/config`, NEWLEADER and notifications hold."""
    return "\n".join([*membership.lines(), f"version={hex_digits(membership.version)}"])


def version_of_file_name(name: str) -> int:
    """Return the version that the name of a dynamic file ends with, 0 if it has none."""
    suffix = name.rpartition(".")[2] if "." in name else ""
    return signed(int(suffix, 16)) if re.fullmatch(r"[0-9a-fA-F]{1,16}", suffix) else 0


def hash_order(ids: Iterable[int]) -> list[int]:
    """Return ids in the order in which a Java HashMap lists them."""
    found = sorted(ids)
    buckets = 16
    while len(found) > buckets * 3 // 4:
        buckets *= 2

    def bucket(value: int) -> int:
        folded = (value ^ value >> 32) & 0xFFFFFFFF
        return (folded ^ folded >> 16) & buckets - 1

    return sorted(found, key=bucket)


# --- hosts ----------------------------------------------------------------------------


def bracketed(host: str) -> str:
    """Return a host as it stands in front of a port."""
    return f"[{host}]" if ":" in host else host


def canonical_host(host: str) -> str:
    """Return an IPv6 address as Java writes it, anything else unchanged.

    Raises ValueError for what has colons and is not an address.
    """
    if ":" not in host:
        return host
    import ipaddress  # start-up is measured, and few need it

    address, percent, scope = host.partition("%")
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        raise ValueError(f"[{host}] is not an IPv6 address") from None
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return ":".join(f"{int(part, 16):x}" for part in parsed.exploded.split(":")) + percent + scope


def same_address(one: str | None, other: str | None) -> bool:
    """Return whether both are the same IP address; the scope of an IPv6 one is not compared.

    None, and what is not an address, is the same as nothing. ZooKeeper: InetAddress.equals.
    """
    import ipaddress  # start-up is measured, and few need it

    try:
        found = [ipaddress.ip_address((text or "").partition("%")[0]) for text in (one, other)]
    except ValueError:
        return False
    plain = [getattr(address, "ipv4_mapped", None) or address for address in found]
    return plain[0] == plain[1]


def is_same_host(one: str, other: str) -> bool:
    """Return whether two hosts are the same: by name, or as addresses; localhost is 127.0.0.1."""
    one, other = one.lower(), other.lower()
    return one == other or same_address(_address(one), _address(other))


def _address(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host


def _split(text: str, separator: str) -> list[str]:
    """Split at each separator but those at the end, as String.split does; at least one part."""
    return (text.rstrip(separator) or text).split(separator)


def split_host(text: str) -> list[str]:
    """Split `host:port:...` at its colons; a host in brackets loses them."""
    if not text.startswith("["):
        return _split(text, ":")
    host, bracket, rest = text[1:].partition("]")
    if not bracket or (rest and not rest.startswith(":")):
        raise ValueError(f"{text!r} has no ']' and ':' behind the address")
    return [canonical_host(host), *(_split(rest[1:], ":") if rest else ())]


# --- one line -------------------------------------------------------------------------


def parse_member(sid: int, text: str) -> QuorumServer:
    """Parse what stands behind `server.N=`. Raises ValueError with a sentence for the operator."""
    parts = _split(text, ";")
    if len(parts) > 2:
        raise ValueError(f"has more than one ';'; expected {FORM}")
    if len(parts[0]) > 2 * MAX_ADDRESS_BYTES:  # before they are compared with each other
        raise ValueError(f"has addresses of more than {MAX_ADDRESS_BYTES} bytes")
    addresses: list[ServerAddress] = []
    roles: set[bool] = set()
    for piece in _split(parts[0], "|"):
        address, is_observer = _parse_address(piece)
        if address not in addresses:
            addresses.append(address)
        # Canonical text has the role behind the last address only: the others say nothing.
        if is_observer is not None:
            roles.add(is_observer)
    if len("|".join(map(str, addresses)).encode("utf-8")) > MAX_ADDRESS_BYTES:
        raise ValueError(f"has addresses of more than {MAX_ADDRESS_BYTES} bytes")
    if len(roles) > 1:
        raise ValueError("is participant at one address and observer at another")
    client_host, client_port = WILDCARD, None
    if len(parts) == 2 and parts[1]:
        client_host, client_port = _parse_client(parts[1])
    return QuorumServer(sid, tuple(sorted(addresses)), True in roles, client_host, client_port)


def _parse_address(piece: str) -> tuple[ServerAddress, bool | None]:
    parts = split_host(piece)
    if len(parts) == 2:
        raise ValueError(f"{piece!r} has no election port; expected {FORM}")
    if len(parts) > 4:
        raise ValueError(
            f"{piece!r} has too many colons; expected {FORM}, an IPv6 address in brackets,"
            " as in [2001:db8::1]:2888:3888"
        )
    if len(parts) < 3:
        raise ValueError(f"{piece!r} has no ports; expected {FORM}")
    host = _host(parts[0], piece)
    quorum_port = parse_port(parts[1], "quorum port")
    election_port = parse_port(parts[2], "election port")
    if quorum_port == election_port:
        raise ValueError(f"quorum port and election port are both {quorum_port}; they must differ")
    address = ServerAddress(host, quorum_port, election_port)
    if len(parts) == 3:
        return address, None
    role = trim(parts[3]).lower()
    if role not in ("participant", "observer"):
        raise ValueError(f"role {parts[3]!r} is neither participant nor observer")
    return address, role == "observer"


def _parse_client(text: str) -> tuple[str, int]:
    parts = split_host(text)
    if len(parts) > 2:
        raise ValueError(f"client address {text!r} is not [host:]port; IPv6 goes in brackets")
    port = parse_port(parts[-1], "client port")
    return _host(parts[0], text) if len(parts) == 2 else WILDCARD, port


def _host(text: str, piece: str) -> str:
    if any(char.isspace() or char == "=" for char in text):
        raise ValueError(f"{piece!r} has blanks or '=' in it; expected {FORM}")
    return text or "localhost"


def parse_port(text: str, name: str) -> int:
    return _number(text, 65535, f"{name} {text!r} is not a number from 0 to 65535")


def parse_id(text: str, what: str) -> int:
    return _number(text, MAX_ID, f"{text!r} is not a {what}: expected a number, as in server.1")


def _number(text: str, most: int, complaint: str) -> int:
    try:
        return whole_number(text, 0, most)
    except ValueError:
        raise ValueError(complaint) from None


# --- all lines ------------------------------------------------------------------------


def parse_membership(text: bytes) -> Membership:
    """Parse the text of a configuration strictly, as it comes from the wire or a dynamic file.

    Raises ConfigError with the line for anything but members, groups, weights and the version.
    """
    collector = MemberLines()
    for entry in parse_properties(text):
        collector.add(entry)
    return collector.membership()


class MemberLines:
    """Takes the lines one by one, and says for each mistake where it is and what to change."""

    def __init__(self) -> None:
        self.members: dict[int, QuorumServer] = {}
        self.groups: dict[int, tuple[int, ...]] = {}
        self.weights: dict[int, int] = {}
        self.version: int = 0
        self.version_entry: Entry | None = None
        self.entries: dict[tuple[str, int], Entry] = {}
        """The lines by (kind, id)."""

    def add(self, entry: Entry) -> None:
        """Add one line."""
        kind, _, rest = entry.key.partition(".")
        try:
            if entry.key == "version":
                self.version = _parse_version(entry.value)
                self.version_entry = entry
            elif kind == "server":
                sid = self._claim(kind, rest, "server id", entry)
                self.members[sid] = parse_member(sid, entry.value)
            elif kind == "group":
                gid = self._claim(kind, rest, "group id", entry)
                ids = _split(entry.value, ":")
                self.groups[gid] = tuple(parse_id(trim(sid), "server id") for sid in ids)
            elif kind == "weight":
                sid = self._claim(kind, rest, "server id", entry)
                complaint = f"{entry.value!r} is not a weight: expected a number of at least 0"
                self.weights[sid] = _number(entry.value, MAX_ID, complaint)
            else:
                raise ValueError(_unknown(entry.key))
        except ValueError as error:
            message = _with_remark(str(error), entry.value)
            raise ConfigError(message, entry.line, entry.key) from None

    def _claim(self, kind: str, text: str, what: str, entry: Entry) -> int:
        number = parse_id(text, what)
        before = self.entries.get((kind, number))
        if before is not None:
            raise ValueError(
                f"is on line {before.line} already; give each {what.split()[0]} an id of its own"
            )
        self.entries[kind, number] = entry
        return number

    def membership(self) -> Membership:
        """Return the membership that the lines give together."""
        members = tuple(self.members[sid] for sid in sorted(self.members))
        if not (self.groups or self.weights):
            return Membership(members, self.version)
        self._check_groups()
        weights = {sid: 1 for sid, member in self.members.items() if not member.is_observer}
        weights.update(self.weights)
        if not any(weights[sid] for sids in self.groups.values() for sid in sids):
            raise self._wrong("weight", next(iter(self.weights)), "no participant has any weight")
        return Membership(
            members,
            self.version,
            tuple(sorted(self.groups.items())),
            tuple(sorted(weights.items())),
        )

    def _check_groups(self) -> None:
        seen: dict[int, int] = {}
        for gid, sids in self.groups.items():
            for sid in sids:
                if sid in seen:
                    where = f"group {seen[sid]} and group {gid}" if seen[sid] != gid else "it twice"
                    raise self._wrong("group", gid, f"server {sid} is in {where}; name it once")
                seen[sid] = gid
                member = self.members.get(sid)
                if member is None:
                    raise self._wrong("group", gid, f"there is no server.{sid}")
                if member.is_observer:
                    raise self._wrong(
                        "group", gid, f"server {sid} is an observer; groups hold participants"
                    )
        for sid, member in self.members.items():
            if not member.is_observer and sid not in seen:
                raise self._wrong(
                    "server", sid, "is in no group; with group or weight lines, each must be in one"
                )

    def _wrong(self, kind: str, number: int, message: str) -> ConfigError:
        entry = self.entries[kind, number]
        return ConfigError(message, entry.line, entry.key)


def _unknown(key: str) -> str:
    from pyzk.config import hints  # it is needed only here

    message = "is unknown here; expected server.N, group.N or weight.N"
    return hints.extended(message, hints.of_member_key(key))


def _with_remark(message: str, value: str) -> str:
    from pyzk.config import hints  # it is needed only here

    remark = hints.of_value(value)
    if remark and "=" in value:
        return remark  # what the parser met in two lines that are one helps nobody
    return hints.extended(message, remark)


def _parse_version(text: str) -> int:
    if not _HEXADECIMAL.fullmatch(text):
        raise ValueError(f"{text!r} is not a version: expected a hexadecimal number")
    return signed(int(text, 16))

"""What the admin server tells of a member of an ensemble: its leader, its learners, its place.

Pure. Each function makes the fields of one command. A server that stands alone, or serves reads
only because it has no leader, knows nothing of these, and says so as ZooKeeper does.

ZooKeeper: Commands, QuorumPeer, MultipleAddresses, LearnerHandler.getLearnerHandlerInfo
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.admin.answer import Asked, Fields
from pyzk.admin.json_text import Value
from pyzk.config.members import WILDCARD, bracketed, hash_order
from pyzk.int64 import hex_id
from pyzk.quorum.follower import Follower
from pyzk.quorum.leader import Leader
from pyzk.quorum.learner import Learner
from pyzk.zxid import counter_of, epoch_of

if TYPE_CHECKING:
    from pyzk.config.members import QuorumServer
    from pyzk.quorum.learner_handler import LearnerHandler
    from pyzk.quorum.member import Member

BROADCAST = "broadcast"
"""The state of a member that serves; of one that does not, nothing is said."""


def leader(asked: Asked) -> Fields:
    """Returns who leads: its id, and its hosts as the configuration names them."""
    role = _role(asked)
    if role is None:
        return {"error": "server is not initialized"}
    sid = role.member.sid if isinstance(role, Leader) else role.leader_sid
    found = role.member.membership.member(sid)
    # A leader that is only proposed yet, or no longer in the configuration in force.
    addresses = role.member.addresses_of(sid) if found is None else found.addresses
    hosts = dict.fromkeys(each.host for each in addresses)
    return {
        "is_leader": isinstance(role, Leader),
        "leader_id": sid,
        "leader_ip": "|".join(hosts),
    }


def observers(asked: Asked) -> Fields:
    """Returns the observers that follow this server, and the numbers of their links."""
    found = _observers(asked)
    return {
        "synced_observers": len(found),
        "observers": [_observer(each) for each in found],
    }


def observer_connection_stat_reset(asked: Asked) -> Fields:
    """Sets the numbers of the links with observers to what they are at the start."""
    for each in _observers(asked):
        each.numbers.reset()
    return {}


def voting_view(asked: Asked) -> Fields:
    """Returns the servers that vote, as the configuration in force says."""
    role = _role(asked)
    if role is None:
        return {"current_config": {}}
    member = role.member
    membership = member.membership
    view: dict[str, Value] = {}
    for sid in hash_order(membership.voters):
        server = membership.member(sid)
        assert server is not None, sid
        view[str(sid)] = {
            "server_addresses": _places(server, is_election=False),
            "election_addresses": _places(server, is_election=True),
            "client_address": _client_address(member, server),
            "learner_type": "participant",
        }
    return {"current_config": view}


def zabstate(asked: Asked) -> Fields:
    """Returns the place of this server in its ensemble, and how far it is."""
    role = _role(asked)
    if role is None:
        return {"voting": False, "zabstate": ""}
    member = role.member
    zxid = member.database.last_zxid
    voter = None if member.is_observer else member.membership.member(member.sid)
    client = member.client_address
    return {
        "myid": member.sid,
        "is_leader": isinstance(role, Leader),
        "quorum_address": _all_addresses(member.me, is_election=False),
        "election_address": _all_addresses(member.me, is_election=True),
        "client_address": None if client is None else _place(*client),
        "voting": voter is not None and not voter.is_observer,
        "last_zxid": hex_id(zxid),
        "zab_epoch": epoch_of(zxid),
        "zab_counter": counter_of(zxid),
        "zabstate": BROADCAST,
    }


def _role(asked: Asked) -> Leader | Learner | None:
    """Returns the role of a member that serves, None for other servers."""
    server = asked.peer.server
    if not server.is_running or not isinstance(server.role, Leader | Learner):
        return None
    return server.role


def _observers(asked: Asked) -> list[LearnerHandler]:
    """Returns the observers that are sent what is committed."""
    role = asked.peer.server.role
    if isinstance(role, Leader):
        return role.traffic.observers
    master = role.observers if isinstance(role, Follower) else None
    return [] if master is None else [each for each in master.handlers if each.is_synced]


def _observer(handler: LearnerHandler) -> dict[str, Value]:
    numbers = handler.numbers
    return {
        "remote_socket_address": f"/{handler.name}",
        "sid": handler.sid,
        "established": numbers.established_wall_ms,
        "queued_packets": handler.queued_packets,
        "queued_packets_size": handler.queued_bytes,
        "packets_received": numbers.packets_received,
        "packets_sent": numbers.packets_sent,
        "requests": numbers.requests,
        "last_zxid": numbers.zxid,
    }


def _places(server: QuorumServer, *, is_election: bool) -> list[Value]:
    return [_place(host, port) for host, port in _pairs(server, is_election=is_election)]


def _pairs(server: QuorumServer, *, is_election: bool) -> list[tuple[str, int]]:
    return [
        (each.host, each.election_port if is_election else each.quorum_port)
        for each in server.addresses
    ]


def _client_address(member: Member, server: QuorumServer) -> str:
    """Returns where a voter takes clients; of others, only what their lines say is known."""
    if server.client_port is not None:
        return _place(server.client_host, server.client_port)
    if server.sid == member.sid and member.client_address is not None:
        return _place(*member.client_address)
    return ""


def _place(host: str, port: int) -> str:
    return f"{bracketed(host)}:{port}"


def _all_addresses(server: QuorumServer, *, is_election: bool) -> dict[str, Value]:
    """Returns the addresses of this server in all the ways in which the original asks for them. It
    tries which of them can be reached; here they are those of this server, and all can."""
    pairs = _pairs(server, is_election=is_election)
    places: list[Value] = [_place(host, port) for host, port in pairs]
    ports = list(dict.fromkeys(port for _, port in pairs))
    return {
        "empty": not pairs,
        "all_addresses": places,
        "wildcard_addresses": [_place(WILDCARD, port) for port in ports],
        "all_ports": list(ports),
        "all_host_strings": [host for host, _ in pairs],
        "reachable_address": places[0],
        "all_reachable_addresses": places,
        "all_reachable_addresses_or_all": places,
        "reachable_or_one": places[0],
        "one": places[0],
    }

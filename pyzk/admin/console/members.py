"""The members of the ensemble, as far as this server knows them.

Pure. A leader knows of each of its learners what that has acknowledged, what waits for it and how
long a PING takes there and back; a learner knows how far it is behind its leader, as of the last
PING. Nobody else is asked. What is not known is null, and ``note`` says who would know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyzk.admin.console import Json, View
from pyzk.config.members import bracketed
from pyzk.int64 import hex_id
from pyzk.quorum.follower import Follower
from pyzk.quorum.leader import Leader
from pyzk.quorum.learner import Learner
from pyzk.quorum.learner_handler import ACTIVE, AWAIT_INFO, SYNCED, SYNCING, LearnerHandler
from pyzk.quorum.observer import Observer
from pyzk.zxid import epoch_of, make

if TYPE_CHECKING:
    from pyzk.config.members import Membership, QuorumServer
    from pyzk.quorum.member import Member
    from pyzk.quorum.peer import Peer

_SYNCHRONIZING: Final = "synchronizing"
_STATES: Final = {ACTIVE: "serving", SYNCED: "synchronized", SYNCING: _SYNCHRONIZING}


def lag(ahead: int, behind: int) -> int | None:
    """Return how many transactions lie between two zxids; None if that cannot be told, because they
    are of different epochs."""
    if behind >= ahead:
        return 0
    if epoch_of(ahead) == epoch_of(behind):
        return ahead - behind
    # The first of an epoch is number 1, and nobody here knows how long the epoch before was.
    return None


def member_of(peer: Peer) -> Member | None:
    """Return the member that a peer is while it has a role; None for a lone server, or while it
    looks for a leader."""
    role = peer.server.role if peer.server.is_running else None
    if isinstance(role, Leader | Learner):
        return role.member
    return None


def epochs_view(peer: Peer) -> View | None:
    """Return the two epochs that a member must never forget; None if they are not known now."""
    member = member_of(peer)
    if member is None:
        return None
    return {"accepted": member.epochs.accepted, "current": member.epochs.current}


def members_view(peer: Peer, membership: Membership, sid: int, *, shows_addresses: bool) -> View:
    """Return every server of the configuration, and learners that are in none."""
    server = peer.server
    role = server.role if server.is_running else None
    rows: list[Json] = []
    handlers = _handlers(role)
    for each in membership.members:
        row = _configured(each, sid, shows_addresses)
        row.update(_known(peer, each.sid, sid, handlers.pop(each.sid, None)))
        rows.append(row)
    for handler in handlers.values():
        row = _row(handler.sid, is_observer=handler.is_observer)
        row["note"] = "it is in no configuration"
        row.update(_learner(handler, peer))
        rows.append(row)
    return {
        "members": rows,
        "version": hex_id(membership.version),
        "observers": _observers(role),
        "leader": _leader_sid(peer, sid),
    }


def _leader_sid(peer: Peer, own_sid: int) -> int | None:
    """Return who leads, as far as this server knows; None if nobody does."""
    server = peer.server
    role = server.role if server.is_running else None
    if isinstance(role, Learner):
        return role.leader_sid
    return own_sid if isinstance(role, Leader) else peer.status().leader_sid


def _handlers(role: object) -> dict[int, LearnerHandler]:
    if not isinstance(role, Leader):
        return {}
    return {each.sid: each for each in role.handlers if each.phase != AWAIT_INFO}


def _observers(role: object) -> Json:
    """Return the observers that follow this follower."""
    master = role.observers if isinstance(role, Follower) else None
    if master is None:
        return None
    return [
        {"sid": each.sid, "state": _STATES.get(each.phase, "connecting")}
        for each in master.handlers
        if each.phase != AWAIT_INFO
    ]


def _row(sid: int, *, is_observer: bool) -> View:
    return {
        "sid": sid,
        "isObserver": is_observer,
        "self": False,
        "role": None,
        "state": None,
        "zxid": None,
        "lag": None,
        "queuedBytes": None,
        "roundTripMs": None,
        "heardMs": None,
        "note": None,
        "address": None,
        "client": None,
    }


def _configured(server: QuorumServer, own_sid: int, shows_addresses: bool) -> View:
    row = _row(server.sid, is_observer=server.is_observer)
    row["self"] = server.sid == own_sid
    if shows_addresses:
        row["address"] = ", ".join(str(each) for each in server.addresses)
        if server.client_port is not None:
            row["client"] = f"{bracketed(server.client_host)}:{server.client_port}"
    return row


def _known(peer: Peer, sid: int, own_sid: int, handler: LearnerHandler | None) -> View:
    """Return what this server knows of the member ``sid``."""
    server = peer.server
    status = peer.status()
    role = server.role if server.is_running else None
    if sid == own_sid:
        own: View = {
            "role": status.mode,
            "state": "serving" if server.is_serving else None,
            "zxid": hex_id(status.last_zxid),
        }
        if isinstance(role, Follower | Observer):
            own.update(_behind(role, status.last_zxid))
        elif isinstance(role, Leader):
            own["lag"] = 0
        return own
    if handler is not None:
        return _learner(handler, peer)
    if isinstance(role, Leader):
        return {"state": "not connected", "note": "it does not follow this leader now"}
    leader_sid = _leader_sid(peer, own_sid)
    if sid == leader_sid:
        known: View = {"role": "leader"}
        if isinstance(role, Follower | Observer) and role.pulse.zxid >= 0:
            known["zxid"] = hex_id(role.pulse.zxid)
            known["heardMs"] = server.clock.now_ms - role.pulse.heard_ms
        return known
    if leader_sid is not None:
        return {"note": f"the leader, server {leader_sid}, knows"}
    return {"note": "nobody leads now"}


def _behind(role: Follower | Observer, last_zxid: int) -> View:
    """Return how far a learner is behind, as of the last PING."""
    if role.pulse.zxid < 0:
        return {"note": "no PING has come yet"}
    # Who serves has all of the history that the epoch began with.
    return {"lag": lag(role.pulse.zxid, max(last_zxid, make(role.epoch, 0)))}


def _learner(handler: LearnerHandler, peer: Peer) -> View:
    """Return what a leader knows of one learner."""
    master = handler.master
    half_tick_ms = max(1, master.member.tick_ms // 2)
    view: View = {
        "role": "observer" if handler.is_observer else "follower",
        "state": _STATES.get(handler.phase, "connecting"),
        "queuedBytes": handler.queued_bytes,
        "heardMs": max(0, master.beat - handler.heard) * half_tick_ms,
        "roundTripMs": handler.round_trip.ms if handler.round_trip.ms >= 0 else None,
    }
    if handler.is_observer:
        view["note"] = "observers acknowledge nothing, so its lag is not known"
    elif handler.is_synced and handler.sent_zxid <= handler.acked_zxid:
        # It has acknowledged NEWLEADER, and every proposal that has come since.
        view["zxid"] = hex_id(master.last_proposed)
        view["lag"] = 0
    elif handler.acked_zxid:
        view["zxid"] = hex_id(handler.acked_zxid)
        view["lag"] = lag(master.last_proposed, handler.acked_zxid)
    return view

"""Asks servers how they are, by four-letter words on their client ports.

Shell. Works on every ZooKeeper since 3.4: ``srvr`` is always allowed; what only ``mntr``, ``conf``
and ``hash`` tell is missing where the whitelist does not have them. All servers are asked at the
same time, and those that are behind the leader once more: between two answers writes go on, and a
member is late only if it still lacks what the leader had before.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from pyzk.cli.access import PLAIN, Access, explain_tls, is_tls_alert
from pyzk.cli.client_addresses import ClientAddress
from pyzk.config.members import Membership, parse_membership
from pyzk.errors import ConfigError
from pyzk.int64 import MASK64
from pyzk.zxid import counter_of, epoch_of

MAX_ANSWER: Final = 1 << 24
"""The longest answer that is accepted."""
PATIENCE_S: Final = 0.5
"""The seconds that a member gets to catch up with what the leader had, before it is called late."""
_PAUSE_S: Final = 0.02

NOT_SERVING: Final = "not serving"
LEARNERS: Final = ("follower", "observer")

_REFUSED: Final = re.compile(r"\w{4} is not executed because it is not in the whitelist")
_COMMIT: Final = re.compile(r"^(\d+\.\d+\.\d+)-(?:[0-9a-f]{40}\b|\$\{.*\})")
"""The version, and behind it the commit from which it was built; distributions may not know it."""
_DIGEST: Final = re.compile(r"^([0-9a-f]+): (-?\d+)$", re.MULTILINE)
_MEMBERSHIP: Final = "\nmembership: \n"
_SERVER_ID: Final = re.compile(r"^serverId=(-?\d+)$", re.MULTILINE)
_SECURE_PORT: Final = re.compile(r"^secureClientPort=(\d+)$", re.MULTILINE)


@attrs.define
class SurveyedServer:
    """What one server says of itself."""

    address: ClientAddress
    problem: str | None = None
    """Why nothing else is known of the server; None if something is."""
    mode: str = ""
    version: str = ""
    zxid: int = 0
    connections: int | None = None
    """How many connections it has, without the one over which this was asked."""
    outstanding: int | None = None
    znodes: int | None = None
    latency: str | None = None
    """The latency as ``min/avg/max`` in ms."""
    server_id: int | None = None
    """The server id; None: ``conf`` is not allowed, or the server stands alone."""
    configuration: Membership | None = None
    """The configuration of the ensemble by which it goes; None where ``conf`` does not say it."""
    metrics: dict[str, str] = attrs.field(factory=dict)
    """The metrics of ``mntr``, their names without ``zk_``."""
    digests: dict[int, int] = attrs.field(factory=dict)
    """The digests of its tree, by zxid."""
    refused: tuple[str, ...] = ()
    """The words that its whitelist does not have."""
    lag: int | None = None
    """How many transactions the leader had that it did not have; None where there is no such
    question."""

    @property
    def is_serving(self) -> bool:
        return self.problem is None and self.mode != NOT_SERVING

    @property
    def epoch(self) -> int:
        return epoch_of(self.zxid)

    def metric(self, name: str) -> int | None:
        """Return a number of ``mntr``."""
        try:
            return int(self.metrics[name])
        except (KeyError, ValueError):
            return None


# --- asking ---------------------------------------------------------------------------


async def survey(
    addresses: Sequence[ClientAddress], timeout_s: float, access: Access = PLAIN
) -> list[SurveyedServer]:
    """Ask all servers; return them in the given order."""
    members = await look(addresses, timeout_s, access)
    await measure_lag(members, timeout_s, access)
    await asyncio.gather(*(_ask_more(member, timeout_s, access) for member in members))
    return members


async def look(
    addresses: Sequence[ClientAddress], timeout_s: float, access: Access = PLAIN
) -> list[SurveyedServer]:
    """Ask all servers for their mode only."""
    members = [SurveyedServer(address) for address in addresses]
    await asyncio.gather(*(_visit(member, timeout_s, access) for member in members))
    return members


async def _visit(member: SurveyedServer, timeout_s: float, access: Access) -> None:
    try:
        text = await ask(member.address, "srvr", timeout_s, access)
    except (OSError, ValueError) as error:
        member.problem = explain(error, timeout_s)
        if isinstance(error, TimeoutError) and access.tls is None:
            member.problem += " (as the original does at a port that takes TLS only: --tls)"
        return
    read_srvr(member, text)


async def _ask_more(member: SurveyedServer, timeout_s: float, access: Access) -> None:
    if not member.is_serving:
        return
    refused = []
    for word, read in (("mntr", _read_mntr), ("conf", _read_conf), ("hash", _read_hash)):
        try:
            text = await ask(member.address, word, timeout_s, access)
        except (OSError, ValueError) as error:
            member.problem = f"{word}: {explain(error, timeout_s)}"
            return
        if _REFUSED.match(text):
            refused.append(word)
        else:
            read(member, text)
    member.refused = tuple(refused)


async def measure_lag(
    members: Iterable[SurveyedServer], timeout_s: float, access: Access = PLAIN
) -> None:
    """Find the learners that lack what the leader had when it was asked, and still lack it."""
    members = list(members)
    leader = leader_of(members)
    if leader is None:
        return
    target = leader.zxid
    learners = [member for member in members if member.mode in LEARNERS]
    rounds = int(PATIENCE_S / _PAUSE_S)
    for _ in range(rounds):
        late = [member for member in learners if _lag(member.zxid, target)]
        if not late:
            break
        await asyncio.sleep(_PAUSE_S)
        await asyncio.gather(*(_visit(member, timeout_s, access) for member in late))
        learners = [member for member in learners if member.mode in LEARNERS]
    for member in learners:
        member.lag = _lag(member.zxid, target)


def _lag(zxid: int, target: int) -> int:
    """Return how many transactions a learner lacks.

    A learner that serves has all that was committed before the epoch of its leader, and may still
    show an older zxid: that epoch's first transaction moves it.
    """
    if epoch_of(zxid) == epoch_of(target):
        return max(0, counter_of(target) - counter_of(zxid))
    return counter_of(target) if epoch_of(zxid) < epoch_of(target) else 0


def leader_of(members: Iterable[SurveyedServer]) -> SurveyedServer | None:
    """Return the leader; if several say that they lead, the one of the newest epoch."""
    leaders = [member for member in members if member.problem is None and member.mode == "leader"]
    return max(leaders, key=lambda member: member.epoch, default=None)


def configuration_of(members: Iterable[SurveyedServer]) -> Membership | None:
    """Return the configuration of the ensemble, as the leader says, or else the latest that anybody
    has; None if nobody says it."""
    members = list(members)
    leader = leader_of(members)
    if leader is not None and leader.configuration is not None:
        return leader.configuration
    found = [each.configuration for each in members if each.configuration is not None]
    return max(found, key=lambda each: each.version, default=None)


async def ask(address: ClientAddress, word: str, timeout_s: float, access: Access = PLAIN) -> str:
    """Return the whole answer to a word. Raises OSError (of which TimeoutError is one), and
    ValueError for what cannot be an answer."""
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(address.host, address.port, ssl=access.tls)
        try:
            writer.write(word.encode())
            answer = await _read_all(reader)
        finally:
            # Not closed: the answer is whole, and a server may never say goodbye in TLS.
            writer.transport.abort()
    return answer.decode("utf-8", "replace")


async def secure_port_of(address: ClientAddress, sid: int, timeout_s: float) -> int:
    """Return the secureClientPort of server ``sid``, which is asked without TLS; 0 if it has none,
    or does not say so, or another server answers."""
    try:
        text = await ask(address, "conf", timeout_s)
    except (OSError, ValueError):
        return 0
    found, port = _SERVER_ID.search(text), _SECURE_PORT.search(text)
    if found is None or port is None or int(found[1]) != sid or int(port[1]) >= 1 << 16:
        return 0
    return int(port[1])


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := await reader.read(1 << 16):
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER:
            raise ValueError("its answer does not end; this is not a ZooKeeper")
    return b"".join(parts)


def explain(error: Exception, timeout_s: float) -> str:
    """Return why a server cannot be asked, in the words of an operator."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: nothing listens there"
    if isinstance(error, OSError) and (text := explain_tls(error)) is not None:
        return text
    if isinstance(error, OSError):
        # Of several addresses of one name asyncio tells all that went wrong, in one text.
        return error.strerror or str(error)
    return str(error)


# --- reading answers ------------------------------------------------------------------


def read_srvr(member: SurveyedServer, text: str) -> None:
    """Take over what ``srvr`` has answered."""
    member.problem = None
    if not text:
        # Also what the original does with a connection too many of one host.
        member.problem = "it closes the connection without an answer: this is not the client port"
        member.problem += " of a ZooKeeper, or it has too many connections from here"
        member.problem += " (maxClientCnxns), or it takes TLS only (--tls)"
        return
    if is_tls_alert(text):
        member.problem = "it takes TLS only at this port: --tls"
        return
    if text.startswith("This ZooKeeper instance is not currently serving"):
        member.mode = NOT_SERVING
        return
    if _REFUSED.match(text):
        member.problem = "it does not allow srvr (4lw.commands.whitelist)"
        return
    lines = [line.partition(": ") for line in text.splitlines()]
    values = {name: value.strip() for name, colon, value in lines if colon}
    try:
        member.version = _short_version(values["Zookeeper version"])
        member.mode = values["Mode"]
        member.zxid = int(values["Zxid"], 16)
        member.connections = max(0, int(values["Connections"]) - 1)
        member.outstanding = int(values["Outstanding"])
        member.znodes = int(values["Node count"])
    except (KeyError, ValueError):
        member.problem = f"its answer to srvr is not ZooKeeper's: {text[:60]!r}"
        return
    member.latency = values.get("Latency min/avg/max")


def _short_version(text: str) -> str:
    version = text.partition(",")[0]
    return _COMMIT.sub(r"\1", version)


def _read_mntr(member: SurveyedServer, text: str) -> None:
    for line in text.splitlines():
        name, tab, value = line.partition("\t")
        if tab and name.startswith("zk_"):
            member.metrics[name.removeprefix("zk_")] = value
    # Ours alone: the digest of the tree as it is.
    zxid, digest = member.metric("tree_digest_zxid"), member.metric("tree_digest")
    if zxid is not None and digest is not None:
        member.digests[zxid] = digest & MASK64


def _read_conf(member: SurveyedServer, text: str) -> None:
    if member.mode == "standalone":
        return
    found = _SERVER_ID.search(text)
    if found is not None:
        member.server_id = int(found[1])
    lines = text.partition(_MEMBERSHIP)[2]
    try:
        configuration = parse_membership(lines.encode("utf-8"))
    except ConfigError:
        return
    if configuration.members:
        member.configuration = configuration


def _read_hash(member: SurveyedServer, text: str) -> None:
    for zxid, digest in _DIGEST.findall(text):
        member.digests[int(zxid, 16)] = int(digest) & MASK64

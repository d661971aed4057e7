"""Compares answers of the admin server: the same names, order, types and values, but for masks.

Pure. What is masked is listed by name. `tests/vectors` compares recorded answers with it, and
`conformance.admin` running servers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

from conformance.known_differences import (
    ONLY_OURS_IN_ADMIN,
    OURS_IN_MNTR,
    SINCE_39_IN_MNTR,
)

TIMES: Final = frozenset(
    {
        *("established", "last_response_time", "uptime", "timestamp", "last_latency"),
        *("min_latency", "avg_latency", "max_latency"),
    }
)
"""Values that are times, or hang on them."""
PLACES: Final = frozenset(
    {
        *("data_dir", "data_log_dir", "data_dir_size", "log_dir_size", "datadir_size", "digest"),
        *("initial_configuration", "zookeeper.admin.serverPort"),
        *("logdir_size", "client_port", "all_ports", "version", "queued_packets_size"),
    }
)
"""Values that are paths, ports, sizes of files or names of programs, or have times in them."""
COUNTS: Final = frozenset({"packets_received", "packets_sent", "requests"})
"""Counts in which there is what nobody asked for: pings, and questions for the state."""
WITH_A_PING: Final = "queued_packets"
"""The count of packets that wait for a learner: a ping may just be the only one."""
ACTIVITY: Final = frozenset(
    {
        *("last_operation", "last_cxid", "last_zxid", "last_processed_zxid", "node_count"),
        *("last_buffer_size", "min_buffer_size", "max_buffer_size", "zab_counter", "zab_epoch"),
        *("server_id", "myid", "leader_id", "sid", "zxid"),
        *("tick_time", "min_session_timeout", "max_session_timeout", "client_port_listen_backlog"),
    }
)
"""Values that are the same only if the same was done before, by servers with the same names."""
HASHED: Final = (
    *("path_to_session_ids", "session_id_to_watched_paths", "session_id_to_ephemeral_paths"),
)
"""Objects and lists in them that Java takes from hash tables."""
UNORDERED: Final = ("server_stats", "quorum_address", "election_address", *HASHED)
"""Objects whose names Java lists in an order of its own: that of a hash table, or of methods."""
SETS: Final = re.compile(
    r"(avg|min|max|cnt|sum|p\d+)_.+_learner_handler_qp_\w+|.+_per_namespace", re.DOTALL
)
"""Metrics by namespace and by learner: those of what was done."""
PLACE: Final = re.compile(r":\d+\Z")
"""The port behind an address."""
PORTS: Final = re.compile(r"(?<=:)\d+")
LEAST_ID: Final = 1 << 50
"""What is greater is a session id."""
GIVEN_OUTSIDE: Final = (
    "zookeeper.DigestAuthenticationProvider.superDigest",
    "zookeeper.admin.rateLimiterIntervalInMS",
    "zookeeper.extendedTypesEnabled",
)
"""System properties that the original had from its command line."""


def canonical(value: Any) -> Any:
    """Returns a value with its session ids replaced by their ranks."""
    ids: set[int] = set()
    _walk(value, lambda number: ids.add(number) if number >= LEAST_ID else None)
    ranks = {number: f"session {rank}" for rank, number in enumerate(sorted(ids))}
    return _walk(value, lambda number: ranks.get(number, number))


def _walk(value: Any, of_number: Callable[[int], Any]) -> Any:
    """Returns a value with its numbers, and the names that are numbers, replaced."""
    if isinstance(value, dict):
        return {
            of_number(int(name)) if name.isdigit() else name: _walk(each, of_number)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_walk(each, of_number) for each in value]
    return of_number(value) if type(value) is int else value


def differences(command: str, wanted: str, got: str, masked: frozenset[str]) -> list[str]:
    """Returns how the answer to a command differs from another one, in words."""
    one, other = canonical(json.loads(wanted)), canonical(json.loads(got))
    found: list[str] = []
    if one.get("error") is None and other.get("error") is None:
        for body in (one, other):
            _sort_lists(body)
        special = SPECIAL.get(command)
        if special is not None:
            found += special(one, other)
    _compare(one, other, "", masked, found)
    return found


def _compare(wanted: Any, got: Any, name: str, masked: frozenset[str], found: list[str]) -> None:
    if type(got) is not type(wanted):
        found.append(f"{name}: {got!r} in place of {wanted!r}")
    elif isinstance(wanted, dict):
        names = (sorted if name in UNORDERED else list)(map(str, wanted))
        ours = (sorted if name in UNORDERED else list)(map(str, got))
        if ours != names:
            found.append(f"{name}: the names are {ours}, not {names}")
            return
        for key, value in wanted.items():
            _compare(value, got[key], str(key), masked, found)
    elif isinstance(wanted, list):
        if len(got) != len(wanted):
            found.append(f"{name}: {got} in place of {wanted}")
            return
        for one, other in zip(wanted, got, strict=True):
            _compare(one, other, name, masked, found)
    elif isinstance(wanted, str) and PLACE.search(wanted):
        if PLACE.sub("", got) != PLACE.sub("", wanted):
            found.append(f"{name}: {got} in place of {wanted}")
    elif name == WITH_A_PING and {got, wanted} == {0, 1}:
        pass
    elif name not in masked and got != wanted:
        found.append(f"{name}: {got!r} in place of {wanted!r}")


def _sort_lists(body: dict[str, Any]) -> None:
    """Sorts the lists that Java gives the order of a hash table."""
    for name in ("connections", "secure_connections"):
        found = body.get(name, [])
        found.sort(key=lambda each: (str(each.get("session_id")), each["packets_received"]))
    for name in HASHED:
        for members in body.get(name, {}).values():
            members.sort()


# -- commands that need a comparison of their own; what they have compared they take out


def _dump(wanted: dict[str, Any], got: dict[str, Any]) -> list[str]:
    """Which sessions expire together; the original lists times at which none does any more."""
    buckets = [
        [ids for ids in body.pop("expiry_time_to_session_ids").values() if ids]
        for body in (wanted, got)
    ]
    return [] if buckets[0] == buckets[1] else [f"expiry: {buckets[1]}, not {buckets[0]}"]


def _environment(wanted: dict[str, Any], got: dict[str, Any]) -> list[str]:
    """The names; the values are those of two programs."""
    found = [] if list(got) == list(wanted) else [f"the names are {list(got)}"]
    wanted.clear()
    got.clear()
    return found


def _monitor(wanted: dict[str, Any], got: dict[str, Any]) -> list[str]:
    """The names and the types of all values; those behind the gauges have an order, too."""
    for name in OURS_IN_MNTR:
        got.pop(name.removeprefix("zk_"), None)
    for name in SINCE_39_IN_MNTR:
        if name not in wanted:
            got.pop(name, None)
    one, other = (
        {name: type(value) for name, value in body.items() if not SETS.fullmatch(name)}
        for body in (wanted, got)
    )
    wanted.clear()
    got.clear()
    found = [f"{name} is missing" for name in one if name not in other]
    found += [f"{name} is not there" for name in other if name not in one]
    found += [
        f"{name} is a {other[name]}" for name in one if other.get(name, one[name]) != one[name]
    ]
    begin = list(one).index("watch_bytes")
    # That of a hash table: 3.8 has fewer names, and so another order.
    if SINCE_39_IN_MNTR[0] in one and not found and list(other)[begin:] != list(one)[begin:]:
        found.append("the names have another order")
    if list(other)[:2] != ["version", "server_state"]:
        found.append(f"the first names are {list(other)[:2]}")
    return found


def _system_properties(wanted: dict[str, Any], got: dict[str, Any]) -> list[str]:
    """Whether the names are sorted, and each that is no key of ZooKeeper a JVM's."""
    names = list(got)
    found = [] if names[:-2] == sorted(names[:-2]) else ["the names are not sorted"]
    jvm = [name for name in names if not name.startswith(("zookeeper.", "znode.", "jute."))]
    found += [f"{name} is not there" for name in jvm if name not in wanted]
    for name, value in wanted.items():
        if not name.startswith("zookeeper.") or name in (*GIVEN_OUTSIDE, *PLACES):
            continue
        if PORTS.sub("", str(got.get(name))) != PORTS.sub("", value):
            found.append(f"{name}: {got.get(name)!r} in place of {value!r}")
    wanted.clear()
    got.clear()
    return found


def _index(command: str) -> str:
    return f'<a href="/commands/{command}">{command}</a>\n<br/>\n'


def index_differences(wanted: str, got: str) -> list[str]:
    """Returns how the list of all commands differs."""
    for command in ONLY_OURS_IN_ADMIN:
        if _index(command) not in got:
            return [f"{command} is missing"]
        got = got.replace(_index(command), "")
    return [] if got == wanted else ["another list of commands"]


SPECIAL: Final[dict[str, Callable[[dict[str, Any], dict[str, Any]], list[str]]]] = {
    "dump": _dump,
    "environment": _environment,
    "monitor": _monitor,
    "system_properties": _system_properties,
}

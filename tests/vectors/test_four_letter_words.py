"""The four-letter words, against answers recorded from Apache ZooKeeper 3.9.3.

Layout is compared: names, order and shape of lines; numbers, times, paths and ports are masked.
"""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from conformance import wire
from conformance.in_process import PeerPipe, PeerTarget, configured
from conformance.known_differences import ODD_WORDS, OURS_IN_MNTR

FILE = Path(__file__).parent.parent / "testdata" / "fourletter" / "3.9.3.json.gz"
RECORDED: dict[str, dict[str, Any]] = json.loads(gzip.decompress(FILE.read_bytes()))
WHITELISTS = {
    "default": None,
    "ruok, stat": "ruok, stat",
    "empty": "",
    "* with others": "ruok, *",
    "unknown name": "ruok, nosuch",
}
WORDS = sorted(RECORDED["standalone-fresh"])
STATEFUL = sorted({word[:4] for word in RECORDED["standalone"]} - {"stmk", "envi", "crst", "srst"})

_MASKS = (
    (r"Zookeeper version: .*", "Zookeeper version: V"),
    (r"zk_version\t.*", "zk_version\tV"),
    (r"\w{3} \w{3} +\d+ [\d:]{8} [A-Z]+ \d{4}", "TIME"),
    (r"lop=\w+", "lop=OP"),
    (r"0x[0-9a-f]+", "0xN"),
    (r"\d+\.\d+(E\d+)?", "F"),
    (r"\d+", "N"),
    (r"(dataDir|dataLogDir)=.*", r"\1=PATH"),
)


def shape(text: str) -> list[str]:
    """The lines with what differs from run to run masked; equal neighbours count once."""
    for pattern, replacement in _MASKS:
        text = re.sub(pattern, replacement, text)
    lines = text.split("\n")
    return [line for line, before in zip(lines, ["\0", *lines], strict=False) if line != before]


def peer(whitelist: str | None = "*") -> PeerTarget:
    config = {"tickTime": "2000", "maxClientCnxns": "0"}
    if whitelist is not None:
        config["4lw.commands.whitelist"] = whitelist
    return PeerTarget(configured(config, {"zookeeper.extendedTypesEnabled": "true"}))


def ask(target: PeerTarget, sent: bytes) -> str:
    pipe = target.open()
    assert isinstance(pipe, PeerPipe)
    pipe.send(sent)
    if not pipe.eof:
        return "(no answer, connection stays open)"
    return pipe.received.decode()


@pytest.mark.parametrize("word", [word for word in WORDS if word not in ("mntr", "envi")])
def test_a_fresh_server_answers_in_the_recorded_layout(word: str) -> None:
    assert shape(ask(peer(), word.encode())) == shape(RECORDED["standalone-fresh"][word])


def test_srvr_of_a_fresh_server_has_the_recorded_state() -> None:
    wanted = RECORDED["standalone-fresh"]["srvr"].splitlines()[5:]
    assert ask(peer(), b"srvr").splitlines()[5:] == wanted


def test_mntr_names_the_recorded_metrics_with_the_recorded_kind_of_number() -> None:
    def kinds(text: str) -> dict[str, bool]:
        pairs = (line.split("\t", 1) for line in text.splitlines())
        return {name: "." in value for name, value in pairs if name != "zk_version"}

    wanted = kinds(RECORDED["standalone-fresh"]["mntr"])
    got = kinds(ask(peer(), b"mntr"))
    assert [got.pop(name) for name in OURS_IN_MNTR] == [False] * len(OURS_IN_MNTR)
    assert sorted(got) == sorted(wanted)
    averages = {name for name in wanted if name.startswith("zk_avg_")}
    assert {name: got[name] for name in averages} == {name: wanted[name] for name in averages}


def test_envi_begins_like_the_recorded_one() -> None:
    wanted = RECORDED["standalone-fresh"]["envi"].splitlines()
    got = ask(peer(), b"envi").splitlines()
    assert got[0] == wanted[0]
    assert [line.split("=")[0] for line in got[1:3]] == ["zookeeper.version", "host.name"]


def busy() -> PeerTarget:
    """A server with two sessions, ephemerals, watches and a quota."""
    target = peer()
    one, two = target.open(), target.open()
    for pipe in (one, two):
        pipe.send(wire.frame(wire.connect(20000)))
    steps = [
        (one, "create", wire.create("/a")),
        (one, "create", wire.create("/a/b")),
        (one, "create", wire.create("/eph1", flags=1)),
        (two, "create", wire.create("/eph2", flags=1)),
        (two, "create", wire.create("/a/seq-", flags=3)),
        (one, "getData", wire.path_watch("/a", True)),
        (one, "getData", wire.path_watch("/a/b", True)),
        (two, "exists", wire.path_watch("/missing", True)),
        (two, "addWatch", wire.string("/a") + wire.i32(0)),
        (one, "create", wire.create("/eph3", flags=1)),
    ]
    for xid, (pipe, op, body) in enumerate(steps):
        pipe.send(wire.frame(wire.request(xid + 1, wire.OPS[op], body)))
    return target


@pytest.mark.parametrize("word", [word for word in STATEFUL if word != "mntr"])
def test_a_busy_server_answers_in_the_recorded_layout(word: str) -> None:
    wanted, got = shape(RECORDED["standalone"][word]), shape(ask(busy(), word.encode()))
    if word in ("cons", "dump", "wchc", "wchp", "hash"):
        # Which sessions and paths there are is this test's choice; the kinds of line are not.
        paths = re.compile(r"^\t/.*|^/.*")
        assert {paths.sub("PATH", line) for line in got} == {
            paths.sub("PATH", line) for line in wanted
        }
    else:
        assert got == wanted


@pytest.mark.parametrize("word", ["cons-after-crst", "stat-after-crst", "srvr-after-srst"])
def test_resets_are_seen(word: str) -> None:
    target = busy()
    asked, reset = word.split("-after-")
    assert shape(ask(target, reset.encode())) == shape(RECORDED["standalone"][reset])
    got = shape(ask(target, asked.encode()))
    assert set(got) == set(shape(RECORDED["standalone"][word]))


def test_the_trace_mask_can_be_set() -> None:
    target = peer()
    assert ask(target, b"gtmk") == RECORDED["standalone"]["gtmk-before-stmk"]
    assert ask(target, b"stmk" + wire.i64(0x42)) == RECORDED["standalone"]["stmk-0x42"]
    assert ask(target, b"gtmk") == RECORDED["standalone"]["gtmk-after-stmk"]


@pytest.mark.parametrize("name", sorted(set(RECORDED["odd"]) - set(ODD_WORDS)))
def test_odd_words(name: str) -> None:
    recorded = RECORDED["odd"][name]
    assert shape(ask(peer(), bytes.fromhex(recorded["sent"]))) == shape(recorded["answer"])


@pytest.mark.parametrize("name", sorted(WHITELISTS))
def test_white_lists(name: str) -> None:
    for word, recorded in RECORDED["whitelist"][name].items():
        if word in ("mntr", "envi", "stmk"):
            continue
        answer = ask(peer(WHITELISTS[name]), word.encode())
        assert shape(answer) == shape(recorded), word

"""Replays recorded exchanges against a server and compares every byte of its answers.

Shell.

    python -m conformance.replay FILES                        against this project's server
    python -m conformance.replay --oracle 3.9 FILES           against an installed original
    python -m conformance.replay --command 'x {cfg} {props}' FILES
    python -m conformance.replay --host H --port P FILE       a fresh server that already runs

Times, session ids and passwords are masked, zxids are not: every scenario starts on an empty
server.  Lists without a promised order are compared as sets.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

import attrs

from conformance import known_differences, oracle, wire
from conformance.frames import Address, Channel
from conformance.recording import Line, Mask, Recording, load
from conformance.servers import Launcher, NotStartedError, Server, pyzk_launcher

RECORDINGS: Final = Path(__file__).parent.parent / "tests" / "testdata" / "client" / "3.9.3"
MASKED: Final = frozenset({"time", "session", "passwd"})
MOST_DIFFERENCES: Final = 20
TIMEOUT_S: Final = 6.0


class Pipe(Protocol):
    """A client's end of one connection."""

    eof: bool

    def send(self, data: bytes) -> None:
        """Sends bytes."""

    def frame(self, timeout: float) -> bytes | None:
        """The next frame with its length, or None."""

    def close(self) -> None:
        """Closes the connection."""


class Target(Protocol):
    """A fresh server to replay against."""

    def open(self) -> Pipe:
        """A new connection."""

    def sleep(self, seconds: float) -> None:
        """Lets this much of the server's time pass."""


class SocketTarget:
    """A server behind a TCP port."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def open(self) -> Pipe:
        """A new TCP connection."""
        return Channel(self.address)

    def sleep(self, seconds: float) -> None:
        """Waits, in real time."""
        time.sleep(seconds)


@attrs.frozen
class Mismatch:
    """An answer that differs from the recorded one."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


@attrs.define
class Outcome:
    """The outcome of one recording."""

    recording: str
    compared: int = 0
    mismatches: list[Mismatch] = attrs.Factory(list)
    skipped: str | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing differed."""
        return not self.mismatches


class Replayer:
    """One run through one recording."""

    def __init__(self, recording: Recording, target: Target, known: bool) -> None:
        self.recording = recording
        self.target = target
        self.outcome = Outcome(recording.name)
        self.pipes: dict[str, Pipe] = {}
        self.translations: dict[str, dict[bytes, bytes]] = {"session": {}, "passwd": {}}
        self.last_request = ""
        self.zxids_less = 0
        self.differences = [
            difference
            for difference in known_differences.KNOWN
            if known and difference.recording == recording.name
        ]

    def run(self) -> Outcome:
        """Plays all lines; stops early when too much differs."""
        for line in self.recording.lines:
            if self._known(line.number):
                continue
            try:
                self._play(line)
            except OSError as error:
                self._mismatch(line, f"{line.kind} failed: {error}")
            if len(self.outcome.mismatches) >= MOST_DIFFERENCES:
                break
        else:
            self._leftovers()
        for pipe in self.pipes.values():
            pipe.close()
        return self.outcome

    def _known(self, number: int) -> bool:
        for difference in self.differences:
            if difference.first <= number <= difference.last:
                if number == difference.last:
                    self.zxids_less += difference.zxids_less
                return True
        return False

    def _mismatch(self, line: Line, text: str) -> None:
        if self.last_request:
            text = f"{text}\n        after {self.last_request}"
        self.outcome.mismatches.append(Mismatch(line.number, text))

    def _play(self, line: Line) -> None:
        if line.kind == "open":
            self.pipes[line.connection] = self.target.open()
        elif line.kind == "close":
            self.pipes[line.connection].close()
        elif line.kind == "sleep":
            self.target.sleep(line.seconds)
        elif line.kind == "c2s":
            self.last_request = f"{line.comment} {line.data[:200].hex()}"
            self.pipes[line.connection].send(self._translated(line))
        elif line.kind == "s2c" and not line.raw:
            self._compare(line)
        elif line.kind in ("eof", "reset"):
            self._expect_end(line)

    def _translated(self, line: Line) -> bytes:
        """Returns the recorded bytes with this run's session ids and passwords."""
        data = bytearray(line.data)
        for offset, size, kind in line.masks:
            table = self.translations.get(kind, {})
            recorded = bytes(data[offset : offset + size])
            data[offset : offset + size] = table.get(recorded, recorded)
            if kind == "zxid" and self.zxids_less:
                data[offset : offset + size] = self._shifted(recorded)
        return bytes(data)

    def _shifted(self, recorded: bytes) -> bytes:
        value = int.from_bytes(recorded, "big", signed=True)
        return wire.i64(value - self.zxids_less) if value > self.zxids_less else recorded

    def _compare(self, line: Line) -> None:
        pipe = self.pipes[line.connection]
        got = pipe.frame(TIMEOUT_S)
        self.outcome.compared += 1
        want = line.data
        if got is None:
            state = "the connection is closed" if pipe.eof else "none came"
            self._mismatch(line, f"want {self._show(line, want)}\n        got no frame, {state}")
            return
        self._learn(line, want, got)
        if _masked(want, line.masks) == _masked(got, line.masks):
            return
        want = self._expected_zxids(line, want)
        wanted, received = _masked(want, line.masks), _masked(got, line.masks)
        if wanted == received or self._same_sets(line, wanted, received):
            return
        self._mismatch(
            line, f"want {self._show(line, wanted)}\n        got  {self._show(line, received)}"
        )

    def _expected_zxids(self, line: Line, want: bytes) -> bytes:
        """Returns the recorded bytes without the zxids that this server does not use."""
        data = bytearray(want)
        for offset, size, kind in line.masks:
            if kind == "zxid" and self.zxids_less:
                data[offset : offset + size] = self._shifted(bytes(data[offset : offset + size]))
        return bytes(data)

    def _learn(self, line: Line, want: bytes, got: bytes) -> None:
        for offset, size, kind in line.masks:
            table = self.translations.get(kind)
            if table is None or len(got) < offset + size:
                continue
            here = got[offset : offset + size]
            if table.setdefault(want[offset : offset + size], here) != here:
                self._mismatch(line, f"another {kind} than before at offset {offset}")

    def _same_sets(self, line: Line, wanted: bytes, received: bytes) -> bool:
        try:
            first = wire.without_order(_decode(line, wanted))
            return first == wire.without_order(_decode(line, received))
        except wire.WireError:
            return False

    def _show(self, line: Line, data: bytes) -> str:
        try:
            return json.dumps(_decode(line, data))
        except wire.WireError as error:
            return f"undecodable ({error}) {data[:200].hex()}"

    def _expect_end(self, line: Line) -> None:
        pipe = self.pipes[line.connection]
        got = pipe.frame(TIMEOUT_S)
        if got is not None:
            self._mismatch(line, f"want the connection closed\n        got  {got[:60].hex()}")
        elif not pipe.eof:
            self._mismatch(line, "want the connection closed\n        got  nothing, it is open")

    def _leftovers(self) -> None:
        last = self.recording.lines[-1]
        for name, pipe in self.pipes.items():
            if not pipe.eof:
                got = pipe.frame(0.02)
                if got is not None:
                    self._mismatch(last, f"connection {name} got an extra frame {got.hex()}")


def _masked(data: bytes, masks: Iterable[Mask]) -> bytes:
    blank = bytearray(data)
    for offset, size, kind in masks:
        if kind in MASKED:
            blank[offset : offset + size] = bytes(len(blank[offset : offset + size]))
    return bytes(blank)


def _decode(line: Line, data: bytes) -> wire.Decoded:
    if line.handshake:
        return wire.decode_connect(data[4:])
    return wire.decode_reply(data[4:], line.op)


def replay(recording: Recording, target: Target, known: bool = True) -> Outcome:
    """Plays a recording against a fresh server; known differences are left out if wanted."""
    reason = recording.replayable
    if known and reason is None:
        reason = known_differences.SKIPPED.get(recording.name)
    elif recording.name.startswith("crash_"):
        reason = "it ends the server"
    if reason is not None:
        return Outcome(recording.name, skipped=reason)
    return Replayer(recording, target, known).run()


def replay_on_process(recording: Recording, launcher: Launcher, known: bool = True) -> Outcome:
    """Starts a server with the recorded configuration and plays the recording against it."""
    if recording.replayable is not None or recording.name.startswith("crash_"):
        return replay(recording, SocketTarget(("", 0)), known)
    server = Server(launcher, recording.config, recording.properties)
    try:
        server.start(wait=not recording.counts_connections)
        return replay(recording, SocketTarget(server.address), known)
    except NotStartedError as error:
        return Outcome(recording.name, mismatches=[Mismatch(0, str(error))])
    finally:
        server.cleanup()


def replay_all(
    paths: Sequence[Path], launcher: Launcher, known: bool = True, parallel: int = 3
) -> list[Outcome]:
    """Replays all recordings, on several servers at a time, as much of it is waiting."""
    recordings = [load(path) for path in paths]
    with ThreadPoolExecutor(parallel) as pool:
        return list(pool.map(lambda r: replay_on_process(r, launcher, known), recordings))


def report(outcomes: Iterable[Outcome], quiet: bool = False) -> bool:
    """Prints a line for each recording and what differed; returns whether nothing did."""
    good = True
    frames = 0
    for outcome in outcomes:
        frames += outcome.compared
        if outcome.skipped:
            print(f"{outcome.recording:36} skipped: {outcome.skipped}")
            continue
        count = len(outcome.mismatches)
        print(f"{outcome.recording:36} {outcome.compared:5} frames {count:4} differences")
        good = good and outcome.ok
        if not quiet:
            for mismatch in outcome.mismatches:
                print(f"   {mismatch}")
    print(f"{frames} frames compared: {'all equal' if good else 'DIFFERENCES'}")
    return good


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 1 when anything differs."""
    parser = argparse.ArgumentParser(prog="python -m conformance.replay")
    parser.add_argument("files", nargs="*", type=Path, help="recordings; without any, all of 3.9.3")
    parser.add_argument("--command", help="server command line with {cfg} and {props}")
    parser.add_argument("--oracle", metavar="VERSION", help="an installed original")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, help="a fresh server that already runs")
    parser.add_argument("--parallel", type=int, default=3)
    parser.add_argument("--quiet", action="store_true", help="no details of differences")
    options = parser.parse_args(arguments)
    files = options.files or sorted(RECORDINGS.glob("*.jsonl*"))
    if options.port:
        target = SocketTarget((options.host, options.port))
        outcomes = [replay(load(path), target) for path in files]
    elif options.oracle:
        launcher = oracle.find(options.oracle).launcher()
        outcomes = replay_all(files, launcher, known=False, parallel=options.parallel)
    else:
        launcher = pyzk_launcher(options.command)
        outcomes = replay_all(files, launcher, parallel=options.parallel)
    return 0 if report(outcomes, options.quiet) else 1


if __name__ == "__main__":
    sys.exit(main())

"""The processes of a local ensemble: start, watch, start again, stop.

Shell. Each member is a process of `pyzk serve`, as in production, in a session of its own: Ctrl-C
in the terminal reaches this process only, which stops the others one by one. When this process is
gone, however it went, they stop by themselves (--exit-with-parent).

    start all ---- watch: who leads, who has died ---- SIGTERM to all, the leader last ---- exit

Another signal, a second or more after the first, ends the members at once.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from pyzk.cli import survey
from pyzk.cli.client_addresses import ClientAddress
from pyzk.cli.ensemble_layout import LOOPBACK, MemberFolder, connect_string
from pyzk.exit_codes import ExitCode
from pyzk.runtime.process import handle, heeded_signals, ignore, is_another

LOOK_S: Final = 0.25
"""The seconds between two looks at who leads."""
ANSWER_S: Final = 1.0
STOP_S: Final = 20.0
"""The seconds that a member may take to stop."""
FIRST_PAUSE_S: Final = 1.0
LAST_PAUSE_S: Final = 30.0
"""The seconds before a member that has died is started again; the pause doubles while it dies
soon."""
SOON_S: Final = 10.0
TAIL_LINES: Final = 5


class MemberProcess:
    """Stands for one member's process, or for the lack of it."""

    def __init__(self, files: MemberFolder, command: Sequence[str]) -> None:
        self.files = files
        self._command = command
        self.process: asyncio.subprocess.Process | None = None
        self.started_s = 0.0
        self.pause_s = FIRST_PAUSE_S
        self.ended: asyncio.Task[int] | None = None

    @property
    def sid(self) -> int:
        return self.files.sid

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def start(self) -> None:
        """Start the process; what it says goes to its log."""
        self.started_s = time.monotonic()
        with self.files.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.ended = asyncio.ensure_future(self.process.wait())

    def signal(self, number: int) -> None:
        """Send the process a signal, if it runs."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    def next_pause(self) -> float:
        """Return the seconds to wait until the process is started again."""
        if time.monotonic() - self.started_s > SOON_S:
            self.pause_s = FIRST_PAUSE_S
        pause_s, self.pause_s = self.pause_s, min(2 * self.pause_s, LAST_PAUSE_S)
        return pause_s

    def how_it_ended(self, is_kept: bool) -> str:
        """Return the end of the process in words, with the end of its log, which may be gone
        soon."""
        assert self.process is not None
        code = self.process.returncode or 0
        if code < 0:
            text = f"was killed by {signal.Signals(-code).name}"
        else:
            text = f"ended with code {code}"
        lines = "".join(f"\n    {line}" for line in tail(self.files.log))
        log = str(self.files.log) if is_kept else "its log (--dir keeps all of it)"
        return f"server {self.sid} {text}; the end of {log}:{lines}"


def tail(log: Path) -> list[str]:
    """Return the last lines of a log."""
    return log.read_text(errors="replace").splitlines()[-TAIL_LINES:]


class Supervisor:
    """Runs all members of one ensemble."""

    def __init__(
        self,
        members: Sequence[MemberFolder],
        options: Sequence[str],
        say: Callable[[str], bool],
        *,
        restart: bool,
        is_kept: bool,
        connect_string_only: bool,
        with_parent: bool,
    ) -> None:
        self._members = [MemberProcess(files, command_of(files, options)) for files in members]
        self._addresses = [
            ClientAddress(LOOPBACK, member.files.ports.client) for member in self._members
        ]
        self._say = say
        self._restart = restart
        self._is_kept = is_kept
        self._connect_string_only = connect_string_only
        self._with_parent = with_parent
        self._stop: asyncio.Future[int]
        self._watching: list[asyncio.Future[None]] = []
        self._told = ""
        self._is_ready = False
        self._leader_sid = 0
        self._is_stopping = False
        self._signalled_s = float("-inf")

    async def run(self) -> int:
        """Run until a signal, or until no member is left; return the exit code."""
        loop = asyncio.get_running_loop()
        self._stop = loop.create_future()
        signals = heeded_signals()
        handle(signals, lambda *_: loop.call_soon_threadsafe(self._signalled))
        try:
            for member in self._members:
                await member.start()
            self._watching = [asyncio.ensure_future(self._watch(each)) for each in self._members]
            looking = asyncio.ensure_future(self._look())
            self._watching.append(looking)
            looking.add_done_callback(self._looked)
            code = await self._stop
        finally:
            self._is_stopping = True
            for task in self._watching:
                task.cancel()
            is_clean = await self._end()
            ignore(signals)
        return code if is_clean else code or ExitCode.UNEXPECTED_ERROR

    def _looked(self, task: asyncio.Future[None]) -> None:
        """Watch the members; this never ends by itself."""
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._stop.done():
            self._stop.set_exception(error)

    def _signalled(self) -> None:
        if not is_another(self._signalled_s):
            return
        self._signalled_s = time.monotonic()
        if self._is_stopping:
            for member in self._members:
                member.signal(signal.SIGKILL)
        else:
            self._is_stopping = True
            self._finish(ExitCode.EXECUTION_FINISHED)

    def _finish(self, code: int) -> None:
        if not self._stop.done():
            self._stop.set_result(code)

    # --- members that die -----------------------------------------------------------

    async def _watch(self, member: MemberProcess) -> None:
        while True:
            assert member.ended is not None
            code = await asyncio.shield(member.ended)
            if self._is_stopping:
                return
            self._tell(member.how_it_ended(self._is_kept))
            if not self._is_ready and (code > 0 or not self._restart):
                # It cannot start (its configuration, its data, its ports), or there is nobody to
                # start it again: the ensemble would never be ready.
                self._finish(max(code, ExitCode.UNEXPECTED_ERROR))
                return
            if not self._restart:
                if not any(each.is_up for each in self._members):
                    code = ExitCode.UNEXPECTED_ERROR
                    self._tell(
                        f"no server is left: stopping, with code {code};"
                        " --restart would start them again"
                    )
                    self._finish(code)
                return
            await asyncio.sleep(member.next_pause())
            await member.start()
            assert member.process is not None
            self._tell(f"server {member.sid} is started again, process {member.process.pid}")

    # --- who leads ------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            found = await survey.look(self._addresses, ANSWER_S)
            text = self._describe(found)
            # At the start all look, one after the other: nobody needs to hear of that.
            if text != self._told and (self._is_ready or self._leader_sid):
                self._told = text
                self._tell(text)
            if not self._is_ready and all(member.is_serving for member in found):
                self._is_ready = True
                self._announce()
            await asyncio.sleep(LOOK_S)

    def _describe(self, found: Sequence[survey.SurveyedServer]) -> str:
        modes: dict[str, list[int]] = {}
        for member, seen in zip(self._members, found, strict=True):
            mode = seen.mode if seen.problem is None else "down"
            modes.setdefault(mode if mode != survey.NOT_SERVING else "looking", []).append(
                member.sid
            )
        leader = survey.leader_of(found)
        if leader is None:
            self._leader_sid = 0
            parts = ["no leader"]
        else:
            self._leader_sid = self._members[found.index(leader)].sid
            parts = [f"server {self._leader_sid} leads epoch {leader.epoch}"]
        for mode, word in _SHOWN.items():
            sids = [sid for sid in modes.get(mode, []) if sid != self._leader_sid]
            if sids:
                parts.append(f"{word}: {', '.join(map(str, sids))}")
        return "; ".join(parts)

    def _announce(self) -> None:
        files = [member.files for member in self._members]
        text = connect_string(files)
        if not self._connect_string_only:
            text = f"ready, connect to {text}"
        if not self._say(text) and self._with_parent:
            self._finish(ExitCode.EXECUTION_FINISHED)

    def _tell(self, text: str) -> None:
        if self._connect_string_only:
            print(text, file=sys.stderr, flush=True)
        else:
            self._say(f"{time.strftime('%H:%M:%S')} {text}")

    # --- the end --------------------------------------------------------------------

    async def _end(self) -> bool:
        """Stop all members that run; return whether each has ended by itself, with code 0."""
        up = [member for member in self._members if member.is_up]
        if not up:
            return True
        if not self._connect_string_only:
            self._say(f"stopping {len(up)} servers")
        # Without their leader the others would elect a new one for nothing.
        is_clean = True
        for is_leader in (False, True):
            some = [member for member in up if (member.sid == self._leader_sid) == is_leader]
            is_clean &= await self._end_some(some)
        return is_clean

    async def _end_some(self, members: Sequence[MemberProcess]) -> bool:
        for member in members:
            member.signal(signal.SIGTERM)
        ends = [member.ended for member in members if member.ended is not None]
        if ends:
            await asyncio.wait(ends, timeout=STOP_S)
        is_clean = True
        for member in members:
            if member.is_up:
                self._tell(f"server {member.sid} does not stop within {STOP_S:g} s: killed")
                member.signal(signal.SIGKILL)
            assert member.ended is not None
            # One that was still loading itself ends by the signal: it had nothing to close yet.
            is_clean &= await member.ended in (0, -signal.SIGTERM)
        return is_clean


_SHOWN: Final = {
    "leader": "leading, too",
    "follower": "following",
    "observer": "observing",
    "read-only": "read-only",
    "looking": "looking",
    "down": "down",
}


def command_of(files: MemberFolder, options: Sequence[str]) -> list[str]:
    """Return the command line of a member."""
    return [
        *(sys.executable, "-m", "pyzk", "serve", str(files.config)),
        *("--data-dir", str(files.data.absolute()), "--exit-with-parent", *options),
    ]

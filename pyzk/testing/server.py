"""A server in a thread of its own, for tests that are not asyncio's.

Shell. The thread exists while the server runs. Every method may be called from any thread: those
that begin or end a life (start, stop, kill, restart, reset) run one after the other, the rest at
any time.
"""

from __future__ import annotations

from typing import Self

from pyzk.testing.core import engine as states
from pyzk.testing.core.blocking import WAIT_S, BlockingControls
from pyzk.testing.core.controls import check_leaks
from pyzk.testing.core.engine import explain
from pyzk.testing.core.loopthread import OnThread

__all__ = ["WAIT_S", "ZooKeeperServer"]


class ZooKeeperServer(OnThread, BlockingControls):
    """A ZooKeeper server for tests, in a thread of its own.

    ``data_dir`` None keeps everything in memory; ``port`` 0 takes a free one. With
    ``virtual_clock`` no time passes for the server except by `advance`. ``options`` are keys of
    zoo.cfg (or names that production takes with -D) and their values. ``leaks`` says what `stop`
    does about clients that are still connected: ``warn``, ``error`` (LeakedClientsError) or
    ``ignore``.

    With ``tls`` the port takes TLS only: True makes the certificates, `Certificates` or
    `GivenCertificates` are taken. Clients must show one, unless the option ssl.clientAuth says
    otherwise. ``sasl`` are users of DIGEST-MD5 and their passwords. With ``admin`` there is an
    admin server (HTTP) at ``admin_address``.
    """

    def _prepare(self) -> None:
        self._take_thread("pyzk-test-server", lambda: explain(self._engine.state))

    # --- life -----------------------------------------------------------------------

    def start(self) -> Self:
        """Start; return when a client can write."""
        with self._living():
            self._check_new()
            self._start()
        return self

    def stop(self, *, leaks: str | None = None) -> None:
        """End as production does, and give the port back; a stopped server stays as it is.
        ``leaks`` overrides what the constructor was told about clients that are still
        connected."""
        check_leaks(leaks)
        with self._living():
            ran = self._thread.is_running
            if ran:
                self._thread.end(self._engine.stop)
            self._engine.port.release()
            self._engine.state = states.STOPPED
        if ran:
            self._report_leaks(leaks)

    def kill(self) -> None:
        """End as a process under SIGKILL: what is not synced is lost, sockets are cut. The server
        keeps its port, where clients are refused until `restart`."""
        with self._living():
            self._thread.need_loop()
            self._thread.end(self._engine.kill)

    def restart(self) -> None:
        """Start again with the same data on the same port; a running server is stopped first."""
        with self._living():
            self._check_started()
            if self._thread.is_running:
                self._thread.end(self._engine.stop)
            self._start()

    def reset(self) -> None:
        """Become a new server on the same port: no znode, no session, no connection, no fault."""
        with self._living():
            self._wait(self._engine.reset())

    # --- time -----------------------------------------------------------------------

    def advance(self, seconds: float, *, keep_sessions: bool = False) -> None:
        """Let time pass at once: what falls due happens, in order, before this returns.

        Clients send nothing meanwhile, so their sessions may expire; with ``keep_sessions`` each
        connected client counts as having sent its pings. While the server is paused, time passes
        and nothing else happens.
        """
        self._wait(self._engine.advance(seconds, keep_sessions))

    # --- the thread -----------------------------------------------------------------

    def _start(self) -> None:
        self._thread.start(self._engine.start, lambda: self.stop(leaks="ignore"))

    def _forget_parent(self) -> None:
        """Forget, in a forked child, the thread and what it serves: they are the parent's."""
        super()._forget_parent()
        self._prepare()

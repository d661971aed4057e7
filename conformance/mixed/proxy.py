"""A gate on the way to a quorum port: passes bytes on, holds them back, or cuts the connection.

Shell.

What a leader says to its followers can be held back here while it goes on hearing them, so that it
logs what they never see; the other direction can be held back as well, both can be slow, and new
connections can be refused.  With a recorder each direction's bytes are kept for a look at them.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

from conformance.frames import Address

Recorder = Callable[[bool, bytes], None]
"""Takes each piece: whether the learner has sent it, and the bytes."""

CHUNK: Final = 1 << 16
ESTABLISHED: Final = 1


class Gate:
    """Listens in place of a quorum port, in a thread of its own."""

    def __init__(
        self,
        target: Address,
        recorder: Recorder | None = None,
        place: Address = ("127.0.0.1", 0),
    ) -> None:
        """Listens at ``place`` and passes on to ``target``."""
        self.target = target
        self.recorder = recorder
        self.listener = socket.create_server(place)
        self.port = int(self.listener.getsockname()[1])
        self.is_held = False
        self.is_deaf = False
        """Whether what the learner says is held back."""
        self.is_shut = False
        """Whether new connections are closed at once."""
        self.delay_s = 0.0
        """By how much each piece is delayed, one after the other."""
        self._is_closed = False
        self._must_drop = False
        self._is_dropped = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._pairs: dict[socket.socket, tuple[socket.socket, bool]] = {}
        """Socket -> the socket of the other side, and whether the learner is at this one."""
        self._selector.register(self.listener, selectors.EVENT_READ)
        # There may be many gates, and the thread of each sleeps while nothing comes.
        self._waker, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def hold(self) -> None:
        """Keeps back what the server says from now on; what the learner says still passes."""
        self.is_held = True

    def drop(self) -> None:
        """Cuts all connections, loses what is held back on them, and lets new ones pass."""
        self._is_dropped.clear()
        self._must_drop = True
        self._waker.send(b"!")
        self._is_dropped.wait()
        self.is_held = self.is_deaf = False

    def close(self) -> None:
        """Cuts all connections, and stops listening."""
        self._is_closed = True
        self._waker.send(b"!")
        self._thread.join()

    def _run(self) -> None:
        while not self._is_closed:
            held = False
            for key, _ in self._selector.select():
                source = key.fileobj
                assert isinstance(source, socket.socket)
                if source is self.listener:
                    self._accept()
                elif source is self._woken:
                    source.recv(CHUNK)
                elif source in self._pairs:
                    held = not self._pass(source) or held
            if self._must_drop:
                self._cut_all()
                self._must_drop = False
                self._is_dropped.set()
            elif held:
                time.sleep(0.01)
        self._cut_all()
        self._selector.close()
        for one in (self.listener, self._waker, self._woken):
            one.close()

    def _accept(self) -> None:
        learner, _ = self.listener.accept()
        if self.is_shut:
            learner.close()
            return
        try:
            server = socket.create_connection(self.target, 5)
        except OSError:
            learner.close()
            return
        server.settimeout(None)
        for one, other, is_learner in ((learner, server, True), (server, learner, False)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs[one] = (other, is_learner)
            self._selector.register(one, selectors.EVENT_READ)

    def _pass(self, source: socket.socket) -> bool:
        """Passes one piece on; returns False when it is held back instead."""
        other, is_learner = self._pairs[source]
        is_held = self.is_deaf if is_learner else self.is_held
        try:
            if is_held and not self._is_over(source):
                return False
            data = b"" if is_held else source.recv(CHUNK)
            if data:
                if self.delay_s:
                    time.sleep(self.delay_s)
                if self.recorder is not None:
                    self.recorder(is_learner, data)
                other.sendall(data)
                return True
        except OSError:
            pass
        self._cut(source)
        return True

    @staticmethod
    def _is_over(source: socket.socket) -> bool:
        """Tells whether the server is gone, even if there is still something to read: TCP's state
        is not ESTABLISHED."""
        return source.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != ESTABLISHED

    def _cut_all(self) -> None:
        for one in list(self._pairs):
            if one in self._pairs:
                self._cut(one)

    def _cut(self, one: socket.socket) -> None:
        other, _ = self._pairs[one]
        for end in (one, other):
            if self._pairs.pop(end, None) is not None:
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(end)
                end.close()

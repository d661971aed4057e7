"""The throttle of new connections.

Pure. ZooKeeper: BlueThrottle.
The throttle is a bucket with at most ``connection_throttle_tokens``; every
``fill_time`` ms ``fill_count`` of them come back. A ConnectRequest that finds too few is closed
without a reply. A part of the requests, drawn at random, can be turned away before the bucket is
empty: that part grows, at most once every ``freeze_time`` ms, as long as the bucket is found empty,
and shrinks when it is nearly full (BLUE, a rule of active queue management). A new session can be
configured to cost more tokens than one that is resumed.
"""

from __future__ import annotations

from random import Random

from pyzk.clock import Clock
from pyzk.config.server import ServerConfig


class ConnectionThrottle:
    """The bucket of one server. With no tokens configured, the default, it admits everybody."""

    def __init__(self, config: ServerConfig, clock: Clock, rng: Random) -> None:
        least = config.connection_throttle_local_session_weight
        is_weighted = config.connection_throttle_weight_enabled
        weight = max(config.connection_throttle_global_session_weight, least) if is_weighted else 1
        self._new_cost = weight
        self._local_cost = least if is_weighted else 1
        self._renewal_cost = (
            max(config.connection_throttle_renew_session_weight, least) if is_weighted else 1
        )
        # The configuration counts new sessions.
        self._capacity = self._tokens = config.connection_throttle_tokens * weight
        self._fill_count = config.connection_throttle_fill_count * weight
        self._fill_time_ms = config.connection_throttle_fill_time_ms
        self._freeze_time_ms = config.connection_throttle_freeze_time_ms
        self._drop_increase = config.connection_throttle_drop_increase
        self._drop_decrease = config.connection_throttle_drop_decrease
        self._nearly_full = self._capacity * config.connection_throttle_decrease_ratio
        self._clock = clock
        self._rng = rng
        self._filled_ms = self._drop_changed_ms = clock.now_ms
        self.drop_probability = 0.0
        """The share of requests that are turned away at random; mntr shows it as
        connection_drop_probability."""

    @property
    def deficit(self) -> int:
        """How many tokens are missing from the full bucket."""
        return self._capacity - self._tokens

    def admits(self, *, is_renewal: bool, is_local: bool = False) -> bool:
        """Take the tokens for one session. Return False if there are too few, or by chance. A new
        local session is no transaction, and can be configured to cost less."""
        if not self._capacity:
            return True
        now_ms = self._clock.now_ms
        passed_ms = now_ms - self._filled_ms
        if passed_ms > self._fill_time_ms:
            refill = passed_ms * self._fill_count // self._fill_time_ms
            self._tokens = min(self._tokens + refill, self._capacity)
            self._filled_ms = now_ms
        if self._freeze_time_ms != -1:
            self._adapt(now_ms)
            if self._rng.random() < self.drop_probability:
                return False
        cost = self._new_cost
        if is_renewal:
            cost = self._renewal_cost
        elif is_local:
            cost = self._local_cost
        if self._tokens < cost:
            return False
        self._tokens -= cost
        return True

    def _adapt(self, now_ms: int) -> None:
        if now_ms - self._drop_changed_ms <= self._freeze_time_ms:
            return
        self._drop_changed_ms = now_ms
        if not self._tokens:
            self.drop_probability = min(self.drop_probability + self._drop_increase, 1.0)
        elif self.deficit <= int(self._nearly_full + 0.5):
            self.drop_probability = max(self.drop_probability - self._drop_decrease, 0.0)

"""A server in the caller's own loop, for asyncio tests.

Shell. No thread: with in-memory storage everything happens between the test's own turns.
"""

from __future__ import annotations


class AsyncZooKeeperServer:
    """`ZooKeeperServer` for asyncio: what waits there is awaited here."""

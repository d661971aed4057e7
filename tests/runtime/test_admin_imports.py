"""What a port for HTTP imports, and where: clients are served by then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.live]

IMPORTING = """
import asyncio, sys, threading
from pathlib import Path
from tests.runtime.admin import admin_server, ask, place_of

LATE = ("aiohttp", "prometheus_client", "pyzk.admin")
seen = []

class Listening:
    def find_spec(self, name, path=None, target=None):
        is_late = name.startswith(LATE) or name.startswith("pyzk.runtime.admin_")
        if is_late and threading.current_thread() is threading.main_thread():
            seen.append(name)

async def run():
    async with admin_server(Path(sys.argv[1])) as runner:
        await ask(place_of(runner), "/commands/ruok")

sys.meta_path.insert(0, Listening())
asyncio.run(run())
print(*seen)
"""


def test_all_that_the_admin_port_needs_is_imported_beside_the_loop(tmp_path: Path) -> None:
    """In a process of its own, for in this one everything is imported already."""
    command = [sys.executable, "-c", IMPORTING, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, check=True, text=True)
    # The first is small, and imported at the start; the library is only looked for.
    assert set(found.stdout.split()) == {"pyzk.runtime.admin_ports", "aiohttp"}

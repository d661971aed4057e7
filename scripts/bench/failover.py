"""Time from kill -9 of one server until a write through a surviving one succeeds.

Shell.

    python -m scripts.bench.failover PID host:port[,host:port...]     prints {"outage_s": x}
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

from conformance import wire
from conformance.frames import Address, Client, new_session

PATH = "/failover"
GIVE_UP_S = 60.0


def write(client: Client, value: bytes) -> bool:
    """Write once; return False if the server refuses it."""
    return client.call("setData", wire.set_data(PATH, value)).err == 0


def outage(pid: int, addresses: list[Address]) -> float:
    """Kill a process, and try all servers in turn until a write succeeds; return the seconds."""
    first = new_session(addresses[0], timeout=1.0)
    first.call("create", wire.create(PATH))
    if not write(first, b"before"):
        raise SystemExit("failover: the write before the kill failed")
    begin = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    turn = 0
    client: Client | None = first
    # Writes on the old connection may still succeed when it is to another server.
    while time.monotonic() < begin + GIVE_UP_S:
        try:
            if client is None:
                client = new_session(addresses[turn % len(addresses)], timeout=0.5)
            if write(client, b"after"):
                return time.monotonic() - begin
        except OSError:
            if client is not None:
                client.channel.close()
            client = None
            turn += 1
            time.sleep(0.005)
    raise SystemExit(f"failover: no write succeeded within {GIVE_UP_S:.0f} s")


def main(arguments: list[str] | None = None) -> int:
    """Measure once."""
    pid, servers = arguments or sys.argv[1:]
    addresses = [(host, int(port)) for host, port in (s.rsplit(":", 1) for s in servers.split(","))]
    print(json.dumps({"outage_s": round(outage(int(pid), addresses), 3)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

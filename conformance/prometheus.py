"""Debian's Prometheus scrapes a live ensemble: three processes, their metrics, its own answers.

Shell. `python -m conformance.prometheus`; it says so and ends with 0 where there is no Prometheus
(apt-get install prometheus).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from conformance.frames import four_letters
from pyzk.config.metrics_provider import PROMETHEUS
from pyzk.runtime.free_ports import free_port

COUNT: Final = 3
TIMEOUT_S: Final = 60.0
WRITES: Final = 20

QUERIES: Final[tuple[tuple[str, float], ...]] = (
    ("count(up == 1)", COUNT),
    ("count(uptime)", COUNT),
    ("sum(learners)", COUNT - 1),
    ("max(synced_followers)", COUNT - 1),
    ("count(quorum_size == 3)", COUNT),
    (f'sum(pyzk_requests_total{{operation="create"}}) >= bool {WRITES}', 1),
    (f"sum(commit_count) >= bool {WRITES}", 1),
    ('count(updatelatency{quantile="0.99"} >= 0) >= bool 1', 1),
    ('count(fsynctime{quantile="0.5"} >= 0)', COUNT),
    ("count(process_resident_memory_bytes > 1000000)", COUNT),
    ('max(write_per_namespace_count{key="a \\"b\\""})', WRITES),
)
"""(what Prometheus is asked, its answer)."""


def main() -> int:
    if shutil.which("prometheus") is None:
        sys.stdout.write("skipped: there is no prometheus (apt-get install prometheus)\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="pyzk-prometheus-") as folder, ExitStack() as stack:
        root = Path(folder)
        members = start_members(root, stack)
        write_some(members[0][0])
        port = start_prometheus(root, [metrics for _, metrics in members], stack)
        failed = [text for query, wanted in QUERIES if (text := check(port, query, wanted))]
    for text in failed:
        sys.stdout.write(f"FAILED {text}\n")
    sys.stdout.write(f"{len(QUERIES) - len(failed)} of {len(QUERIES)} answers as expected\n")
    return 1 if failed else 0


def start_members(root: Path, stack: ExitStack) -> list[tuple[int, int]]:
    """Start an ensemble; return (client port, port for metrics) of each member once it serves."""
    ports = [[free_port() for _ in range(4)] for _ in range(COUNT)]
    lines = "".join(
        f"server.{sid}=127.0.0.1:{quorum}:{election};127.0.0.1:{client}\n"
        for sid, (quorum, election, client, _) in enumerate(ports, 1)
    )
    for sid, (_, _, _, metrics) in enumerate(ports, 1):
        data = root / str(sid)
        data.mkdir()
        (data / "myid").write_text(f"{sid}\n")
        (data / "initialize").touch()
        config = root / f"zoo{sid}.cfg"
        config.write_text(
            f"dataDir={data}\ntickTime=1000\ninitLimit=10\nsyncLimit=5\nadmin.enableServer=false\n"
            f"4lw.commands.whitelist=*\nmetricsProvider.className={PROMETHEUS}\n"
            f"metricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort={metrics}\n{lines}"
        )
        command = [sys.executable, "-m", "pyzk", "serve", str(config)]
        stack.enter_context(running(command, root / f"member{sid}.log"))
    for _, _, client, _ in ports:
        wait_for(partial(serves, client), f"member at port {client}")
    return [(client, metrics) for _, _, client, metrics in ports]


def serves(port: int) -> bool:
    try:
        return b"Mode: " in four_letters(("127.0.0.1", port), b"srvr", 1.0)
    except OSError:
        return False


def write_some(port: int) -> None:
    from kazoo.client import KazooClient

    client = KazooClient(f"127.0.0.1:{port}")
    client.start(timeout=30)
    try:
        client.create('/a "b"', b"")
        for number in range(WRITES - 1):
            client.create(f'/a "b"/{number}', b"x")
    finally:
        client.stop()
        client.close()


def start_prometheus(root: Path, targets: list[int], stack: ExitStack) -> int:
    """Start Prometheus; return its port once it has scraped all targets."""
    names = ", ".join(f"'127.0.0.1:{port}'" for port in targets)
    config = root / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        "  - job_name: zookeeper\n"
        f"    static_configs: [{{targets: [{names}]}}]\n"
    )
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={root / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    stack.enter_context(running(command, root / "prometheus.log"))
    wait_for(lambda: answer(port, "count(up == 1)") == COUNT, "prometheus")
    # A quantile is told from the second scrape on; each target has been asked by then.
    wait_for(lambda: answer(port, "min(count_over_time(up[1m])) >= bool 2") == 1, "two scrapes")
    return port


@contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    """Run a process; show its log if something fails meanwhile."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield
    except BaseException:
        sys.stderr.write(f"--- {log.name}\n{log.read_text()[-2000:]}\n")
        raise
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} is not ready after {TIMEOUT_S:.0f} s")
        time.sleep(0.2)


def answer(port: int, query: str) -> float | None:
    """Return the only value that a query gives; None if it gives none, or nobody answers."""
    url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(query)}"
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            told: dict[str, Any] = json.load(reply)
    except OSError:
        return None
    found = told["data"]["result"]
    return float(found[0]["value"][1]) if len(found) == 1 else None


def check(port: int, query: str, wanted: float) -> str:
    """Return what is wrong with the answer to a query; "" if nothing is."""
    got = answer(port, query)
    return "" if got == wanted else f"{query}: {got}, expected {wanted}"


if __name__ == "__main__":
    sys.exit(main())

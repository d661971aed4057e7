"""The page /metrics, on real sockets: read by Prometheus's own parser, in every role."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pyzk.admin.metric_notes import COUNTERS, GAUGES, PROCESS, SUMMARIES
from pyzk.config.admin import AdminConfig
from pyzk.config.metrics_provider import PROMETHEUS
from pyzk.config.server import ServerConfig
from pyzk.errors import ConfigError
from pyzk.runtime import metrics_port
from pyzk.runtime.admin_metrics import CONTENT_TYPE, PIECE_SAMPLES
from pyzk.runtime.main import explain
from pyzk.runtime.metrics_port import MetricsPortError
from pyzk.runtime.runner import PeerRunner
from tests.frames import StreamClient
from tests.runtime.members import connect, ensemble

pytestmark = pytest.mark.live

Samples = dict[str, float]
PROVIDER = (
    f"metricsProvider.className={PROMETHEUS}\nmetricsProvider.httpHost=127.0.0.1\n"
    "metricsProvider.httpPort=0"
)


def told(directory: Path, **changes: object) -> ServerConfig:
    config = ServerConfig(
        data_dir=str(directory),
        client_port=0,
        client_port_address="127.0.0.1",
        four_letter_whitelist=("mntr", "srst", "srvr"),
        metrics_provider=PROMETHEUS,
        metrics_http_host="127.0.0.1",
        metrics_http_port=0,
    )
    return replace(config, **changes)  # type: ignore[arg-type]


async def run(config: ServerConfig, body: Callable[[PeerRunner, str], Awaitable[None]]) -> None:
    """Start a server, call ``body`` with it and the address of its metrics, stop it."""
    runner = PeerRunner(config)
    await runner.start()
    serving = asyncio.ensure_future(runner.serve_until_stopped())
    try:
        await body(runner, await address(runner))
    finally:
        runner.request_stop()
        assert await serving == 0


async def address(runner: PeerRunner) -> str:
    assert runner.admin is not None
    await runner.admin.opened()
    host, port = runner.admin.metrics_address or ("", 0)
    return f"http://{host}:{port}"


async def get(url: str, method: str = "GET") -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.request(method, url) as response:
        return response.status, await response.text(), response.headers.get("Content-Type", "")


async def scraped(url: str) -> tuple[Samples, dict[str, str]]:
    """The samples, by what stands before their value, and the types of the families."""
    status, text, _ = await get(f"{url}/metrics")
    assert status == 200
    samples: Samples = {}
    kinds: dict[str, str] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation in (family.name, f"{family.name}_total")
        kinds[family.documentation] = family.type
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sample.labels.items())
            bare = sample.name
            if family.type == "counter" and not family.documentation.endswith("_total"):
                bare = bare.removesuffix("_total")  # the parser adds it
            name = f"{bare}{{{labels}}}" if labels else bare
            assert name not in samples, "a sample comes once"
            samples[name] = sample.value
    return samples, kinds


async def leave(client: StreamClient) -> None:
    client.writer.close()
    await client.writer.wait_closed()


async def word(runner: PeerRunner, text: bytes) -> str:
    reader, writer = await asyncio.open_connection(*runner.client_address)
    writer.write(text)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


async def test_the_parser_of_prometheus_reads_what_a_lone_server_tells(tmp_path: Path) -> None:
    async def body(runner: PeerRunner, url: str) -> None:
        client = await connect(runner)
        for number in range(5):
            assert await client.create(f"/a{number}") == 0
        samples, kinds = await scraped(url)
        for name, note in (GAUGES | COUNTERS | SUMMARIES).items():
            if name in kinds:
                wanted = "gauge" if name in GAUGES else "counter" if name in COUNTERS else "summary"
                assert kinds[name] == wanted, note
        assert {"uptime", "commit_count", "fsynctime", *PROCESS} <= set(kinds)
        assert samples["znode_count"] == runner.peer.database.tree.node_count
        assert samples["pyzk_requests_total{operation=create}"] == 5
        assert samples["updatelatency_count"] == 5
        assert samples["process_resident_memory_bytes"] > 1 << 20
        assert samples["process_open_fds"] == samples["open_file_descriptor_count"]
        assert math.isnan(samples["readlatency{quantile=0.5}"])
        await leave(client)

    await run(told(tmp_path), body)


async def test_status_type_methods_and_names(tmp_path: Path) -> None:
    async def body(runner: PeerRunner, url: str) -> None:
        status, text, kind = await get(f"{url}/metrics")
        assert (status, kind) == (200, CONTENT_TYPE)
        assert "# HELP uptime uptime\n# TYPE uptime gauge\nuptime " in text
        assert "# TYPE commit_count counter\ncommit_count 0.0\n" in text
        assert '\nfsynctime{quantile="0.5"} ' in text
        _, some, _ = await get(f"{url}/metrics?name[]=uptime&name%5B%5D=fsynctime_sum")
        lines = [line for line in some.splitlines() if not line.startswith("#")]
        assert [line.partition(" ")[0] for line in lines] == ["uptime", "fsynctime_sum"]
        assert (await get(f"{url}/metrics?name[]=no_such"))[:2] == (200, "")
        assert (await get(f"{url}/metrics", "TRACE"))[0] == 403
        assert (await get(f"{url}/metrics", "POST"))[0] == 200
        assert (await get(f"{url}/metrics", "HEAD"))[:2] == (200, "")
        assert (await get(f"{url}/metrics", "DELETE"))[0] == 405
        assert (await get(f"{url}/"))[0] == 404

    await run(told(tmp_path), body)


async def test_strange_names_many_namespaces_and_scrapes_at_once(tmp_path: Path) -> None:
    names = ['say "no"', "back\\slash", "ünïcode ✓", "a b", "{x}", "n"]

    async def body(runner: PeerRunner, url: str) -> None:
        client = await connect(runner)
        for name in names:
            assert await client.create(f"/{name}") == 0
        # No client can make these; a label must not break what others read.
        written = runner.peer.metrics.written
        for name in ("line\nbreak", *map(str, range(PIECE_SAMPLES))):
            written.add(f"/{name}", 1)
        answers = await asyncio.gather(*(scraped(url) for _ in range(8)))
        for samples, _ in answers:
            for name in (*names, "line\nbreak"):
                assert samples[f"write_per_namespace_count{{key={name}}}"] == 1
            counted = [name for name in samples if name.startswith("write_per_namespace_sum")]
            assert len(counted) == len(names) + 1 + PIECE_SAMPLES
        await leave(client)

    await run(told(tmp_path), body)


async def test_srst_leaves_the_metrics_where_prometheus_has_them(tmp_path: Path) -> None:
    async def body(runner: PeerRunner, url: str) -> None:
        client = await connect(runner)
        assert await client.create("/a") == 0
        before, _ = await scraped(url)
        assert (await word(runner, b"srst")) == "Server stats reset.\n"
        after, _ = await scraped(url)
        for name in ("updatelatency_count", "updatelatency_sum", "write_per_namespace_sum{key=a}"):
            assert after[name] == before[name], name
        assert before["packets_received"] > after["packets_received"]
        await leave(client)

    await run(told(tmp_path), body)


async def test_mntr_has_the_samples_where_prometheus_has_them(tmp_path: Path) -> None:
    async def body(runner: PeerRunner, url: str) -> None:
        lines = (await word(runner, b"mntr")).splitlines()
        assert [line.partition("\t")[0] for line in lines[:2]] == ["zk_version", "zk_server_state"]
        values = dict(line.split("\t") for line in lines)
        samples, _ = await scraped(url)
        shown = {
            name.removeprefix("zk_").replace('"', ""): value
            for name, value in values.items()
            if name not in ("zk_version", "zk_server_state")
        }
        assert set(shown) == set(samples)
        assert values['zk_updatelatency{quantile="0.99"}'] == "NaN"
        assert values["zk_znode_count"] == f"{samples['znode_count']}"
        assert values["zk_commit_count"] == "0.0"

    await run(told(tmp_path), body)


async def test_every_role_tells_its_metrics(tmp_path: Path) -> None:
    async with ensemble(tmp_path, extra=PROVIDER) as members:
        first = await members.start(1)
        alone, kinds = await scraped(await address(first))
        assert "uptime" not in alone, "no gauges while a member looks for a leader"
        assert alone["looking_count"] == 1
        assert kinds["process_open_fds"] == "gauge"
        for sid in (2, 3):
            await members.start(sid)
        await members.wait_until_whole()
        found = {}
        for runner in members.runners.values():
            samples, _ = await scraped(await address(runner))
            found[runner.peer.status().mode] = samples
            assert samples["quorum_size"] == 3
            assert samples["unavailable_time_count"] == 1
            assert samples["dbinittime_count"] == 1
        assert found["leader"]["learners"] == 2
        assert found["leader"]["leader_unavailable_time_count"] == 1
        assert found["leader"]["diff_count"] + found["leader"]["snap_count"] == 2
        assert found["follower"]["follower_sync_time_count"] == 1
        assert "learners" not in found["follower"]


async def test_the_admin_port_has_the_page_too(tmp_path: Path) -> None:
    admin = AdminConfig(server_address="127.0.0.1", server_port=0)
    config = replace(told(tmp_path), admin=admin, metrics_provider="")
    runner = PeerRunner(config)
    await runner.start()
    serving = asyncio.ensure_future(runner.serve_until_stopped())
    try:
        assert runner.admin is not None
        await runner.admin.opened()
        assert runner.admin.metrics_address is None
        host, port = runner.admin.address or ("", 0)
        samples, _ = await scraped(f"http://{host}:{port}")
        assert samples["uptime"] >= 0
        assert "zk_cnt_fsynctime\t0\n" in await word(runner, b"mntr")
    finally:
        runner.request_stop()
        assert await serving == 0


async def test_there_is_no_start_without_the_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        runner = PeerRunner(told(tmp_path, metrics_http_port=port))
        with pytest.raises(MetricsPortError) as caught:
            await runner.start()
    text, code = explain(caught.value, runner.config)
    assert code == 1
    assert text.startswith(f"cannot listen on 127.0.0.1:{port}: Address already in use;")
    assert text.endswith("metricsProvider.httpPort in zoo.cfg")
    await run(told(tmp_path), _nothing)


async def test_without_the_extra_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_port, "LIBRARIES", ("aiohttp", "no_such_library"))
    with pytest.raises(ConfigError) as caught:
        await PeerRunner(told(tmp_path)).start()
    assert str(caught.value) == (
        "metricsProvider.className: needs the extra admin (in a clone of pyzk: pip install"
        " '.[admin]')"
    )


async def _nothing(runner: PeerRunner, url: str) -> None:
    """The server starts and stops."""

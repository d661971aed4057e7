"""The page `/metrics`: what Prometheus scrapes, on the admin port or on a port of its own.

Shell. `prometheus_client` writes the samples. It puts ``_total`` behind the names of counters
in the lines HELP and TYPE, which parts them from the samples; so those lines are written here
(docs/decisions/0039). A scrape is made in pieces, between which clients are served.
ZooKeeper: PrometheusMetricsProvider, with MetricsServlet and TextFormat of Prometheus's Java client
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pyzk.admin.prometheus import Window, scrape
from pyzk.runtime.http_port import HttpPort
from pyzk.server.metric_families import BREATH

if TYPE_CHECKING:
    from pyzk.runtime.admin_world import AdminWorld
    from pyzk.server.metric_families import Family, Sample

PATH: Final = "/metrics"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
PIECE_SAMPLES: Final = 200
"""The number of samples that are written without a break, in about a millisecond."""
PIECE_S: Final = 0.001
"""After so long others have their turn."""
IDLE_TIMEOUT_S: Final = 30.0
"""After so long without a byte a connection is closed; that is the original's time, too."""


def routes(world: AdminWorld) -> list[web.RouteDef]:
    """Return the routes of this page."""
    page = MetricsPage(world)
    return [web.get(PATH, page.answer), web.post(PATH, page.answer)]


def port_for(world: AdminWorld, admits: Callable[[int], bool]) -> HttpPort:
    """Return a port that has this page only, not open yet."""
    application = web.Application()
    application.add_routes(routes(world))
    return HttpPort(application, "port for metrics", idle_timeout_s=IDLE_TIMEOUT_S, admits=admits)


class MetricsPage:
    """Answers scrapes."""

    def __init__(self, world: AdminWorld) -> None:
        self._world = world
        self._window = Window()

    async def answer(self, request: web.Request) -> web.Response:
        """Returns all samples, or those that the query names (``name[]=``)."""
        self._world.clock  # noqa: B018 - it is set to now when it is asked for
        families = scrape(
            self._world.peer.server, self._window, frozenset(request.query.getall("name[]", ()))
        )
        pieces = []
        begun = time.perf_counter()
        for piece in _pieces(families):
            pieces.append(piece)
            if time.perf_counter() - begun > PIECE_S:
                await asyncio.sleep(0)
                begun = time.perf_counter()
        return web.Response(body=b"".join(pieces), headers={"Content-Type": CONTENT_TYPE})


def _pieces(families: Iterator[Family]) -> Iterator[bytes]:
    """Yield the text of families, a long one in several pieces."""
    for family in families:
        if family is BREATH:
            yield b""
            continue
        name, samples = family.name, family.samples
        yield f"# HELP {name} {name}\n# TYPE {name} {family.kind}\n".encode()
        for begin in range(0, len(samples), PIECE_SAMPLES):
            yield _lines(name, family.kind, samples[begin : begin + PIECE_SAMPLES])


def _lines(name: str, kind: str, samples: list[Sample]) -> bytes:
    """Return the lines of some samples, without those that describe their family."""
    metric = Metric(name, name, kind)
    for sample in samples:
        metric.add_sample(sample.name, dict(sample.labels), sample.value)
    return generate_latest(_One(metric)).split(b"\n", 2)[2]


class _One(Collector):
    """One family, for what writes all families of a registry."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> list[Metric]:
        return [self._metric]

"""Quotas: how many znodes and bytes a subtree has, and may have.

Pure. Answers to Quotas, StatsTrack, QuotaMetricsUtils and the quota part of DataTree. A quota on /a
is a pair of ordinary znodes that clients make: /zookeeper/quota/a/zookeeper_limits activates it,
and /zookeeper/quota/a/zookeeper_stats is kept up to date here, silently: each server rewrites its
text by itself, without transaction, version or watch, and counts the subtree anew when it loads a
snapshot. Only the deepest quota above a znode is looked at. Where the original's apply stage dies
of malformed text, such a number counts as -1 (no limit) here and a line is logged.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

from pyzk.data.paths import QUOTA, ROOT, namespace_of
from pyzk.errors import MarshallingError, QuotaExceeded
from pyzk.outsiders import about

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyzk.data.node import DataNode

log = logging.getLogger(__name__)

LIMITS_NAME: Final = "zookeeper_limits"
STATS_NAME: Final = "zookeeper_stats"

_BELOW_QUOTA: Final = QUOTA + "/"
_split: Final = re.compile("[,;]+").split
_is_number: Final = re.compile(r"[+-]?[0-9]{1,19}").fullmatch


def _is_long(number: int) -> bool:
    return -(1 << 63) <= number < 1 << 63


class QuotaText:
    """The numbers in a limits or stats znode; -1 stands for "not given"."""

    __slots__ = ("malformed", "numbers")

    def __init__(self, numbers: dict[str, int] | None = None, malformed: str | None = None) -> None:
        self.numbers: dict[str, int] = {} if numbers is None else numbers
        self.malformed = malformed
        """The last part of the text that is no ``key=number``; what it was meant to set counts as
        -1."""

    @classmethod
    def parse(cls, data: bytes | None) -> QuotaText:
        """Read the text of a limits or stats znode. Parts end at ``,`` or ``;``, the pieces of a
        part at ``=``; what comes after the second piece means nothing."""
        numbers: dict[str, int] = {}
        malformed: str | None = None
        for part in _split((data or b"").decode("utf-8", "replace").rstrip(",;")):
            pieces = part.rstrip("=").split("=")
            if len(pieces) > 1 and pieces[1] == "":
                numbers[pieces[0]] = -1
            elif len(pieces) > 1 and _is_number(pieces[1]) and _is_long(int(pieces[1])):
                numbers[pieces[0]] = int(pieces[1])
            elif part:
                malformed = part
        return cls(numbers, malformed)

    @property
    def count(self) -> int:
        return self.numbers.get("count", -1)

    @property
    def size(self) -> int:
        return self.numbers.get("bytes", -1)

    @property
    def hard_count(self) -> int:
        return self.numbers.get("countHardLimit", -1)

    @property
    def hard_size(self) -> int:
        return self.numbers.get("byteHardLimit", -1)

    def encode(self) -> bytes:
        """Return the canonical text; the odd ``=`` makes servers before 3.7 ignore what follows."""
        text = f"count={self.count},bytes={self.size}"
        others = sorted(key for key in self.numbers if key not in ("count", "bytes"))
        if others:
            text += "=" + "".join(f";{key}={self.numbers[key]}" for key in others)
        return text.encode()


class QuotaTable:
    """Knows the paths that have a quota, and keeps their stats znodes up to date."""

    __slots__ = ("_active", "_exceeded", "violations")

    def __init__(self) -> None:
        self._active: dict[str, None] = {}
        self._exceeded: dict[str, None] = {}
        self.violations: dict[str, int] = {}
        """The refusals by namespace: mntr's quota_exceeded_error_per_namespace."""

    def __len__(self) -> int:
        return len(self._active)

    def deepest(self, path: str) -> str | None:
        """Return the deepest path with a quota that is ``path`` or an ancestor of it."""
        active = self._active
        if not active:
            return None
        while path not in active:
            slash = path.rfind("/")
            if slash <= 0:
                return None
            path = path[:slash]
        return path

    # -- hooks of the tree, after each change

    def created(self, path: str, node: DataNode, nodes: Mapping[str, DataNode]) -> None:
        """Count that ``path`` was created."""
        if path.startswith(_BELOW_QUOTA):
            quota_path, name = _split_quota_path(path)
            if quota_path and name == LIMITS_NAME:
                self._active[quota_path] = None
            elif quota_path and name == STATS_NAME:
                _recount(quota_path, nodes)
        if self._active:
            self._add(path, 1, len(node.data) if node.data else 0, nodes)

    def deleted(self, path: str, node: DataNode, nodes: Mapping[str, DataNode]) -> None:
        """Count that ``path`` was deleted; ``node`` is what it was."""
        if self._active:
            if path.startswith(_BELOW_QUOTA):
                quota_path, name = _split_quota_path(path)
                if name == LIMITS_NAME:
                    self._active.pop(quota_path, None)
            self._add(path, -1, -len(node.data) if node.data else 0, nodes)

    def changed(self, path: str, bytes_diff: int, nodes: Mapping[str, DataNode]) -> None:
        """Count that the data of ``path`` grew by ``bytes_diff``."""
        if self._active:
            self._add(path, 0, bytes_diff, nodes)

    def load(self, nodes: Mapping[str, DataNode]) -> None:
        """Find all quotas of a loaded tree and count their subtrees."""
        self._active.clear()
        self._exceeded.clear()
        for path in _walk(QUOTA, nodes):
            quota_path, name = _split_quota_path(path)
            if quota_path and name == LIMITS_NAME and not nodes[path].children:
                _recount(quota_path, nodes)
                self._active[quota_path] = None

    def _add(self, path: str, count: int, size: int, nodes: Mapping[str, DataNode]) -> None:
        quota_path = self.deepest(path)
        if quota_path is None:
            return
        stats_path = f"{QUOTA}{quota_path}/{STATS_NAME}"
        node = nodes.get(stats_path)
        if node is None:
            _no_stats(quota_path, stats_path)
            return
        stats = QuotaText.parse(node.data)
        if stats.malformed is not None:
            log.error(
                "malformed quota text in %s: %r counts as -1",
                stats_path,
                stats.malformed,
                extra=about(stats_path),
            )
        stats.numbers["count"] = stats.count + count
        stats.numbers["bytes"] = stats.size + size
        node.set_data_quietly(stats.encode())

    # -- enforcement (enforceQuota=true), before a transaction is made

    def check(
        self, nodes: Mapping[str, DataNode], path: str, count_diff: int, bytes_diff: int
    ) -> None:
        """Raise QuotaExceeded if the change would pass a hard limit; log when it passes any.
        Malformed text is a MarshallingError of the client's request.

        ``nodes`` is the applied tree: pending changes are not counted, as in the original. One line
        is logged when a limit is first passed, the next only after a change that fitted again.
        """
        quota_path = self.deepest(path)
        if quota_path is None:
            return
        limits_path = f"{QUOTA}{quota_path}/{LIMITS_NAME}"
        limits_node = nodes.get(limits_path)
        stats_path = f"{QUOTA}{quota_path}/{STATS_NAME}"
        stats_node = nodes.get(stats_path)
        if limits_node is None or stats_node is None:
            log.warning(
                "quota on %s lacks its limits or its stats znode",
                quota_path,
                extra=about(quota_path),
            )
            return
        limits = QuotaText.parse(limits_node.data)
        stats = QuotaText.parse(stats_node.data)
        for read, where in ((limits, limits_path), (stats, stats_path)):
            if read.malformed is not None:
                raise MarshallingError(f"malformed quota text in {where}: {read.malformed!r}")
        count = (limits.hard_count, limits.count, stats.count, count_diff, "count", "Count")
        size = (limits.hard_size, limits.size, stats.size, bytes_diff, "bytes", "Byte")
        for hard, soft, current, diff, noun, name in (count, size):
            if diff == 0:
                continue
            is_hard = hard > -1
            limit = hard if is_hard else soft
            line = f"{quota_path} {noun}"
            if limit == -1 or current + diff <= limit:
                self._exceeded.pop(line, None)
                continue
            text = (
                f"Quota exceeded: {quota_path} [current {noun}={current + diff}, "
                f"{'hard' if is_hard else 'soft'}{name}Limit={limit}]"
            )
            if line not in self._exceeded:
                self._exceeded[line] = None
                log.warning("%s", text, extra=about(quota_path))
            if is_hard:
                namespace = namespace_of(path) or ""
                self.violations[namespace] = self.violations.get(namespace, 0) + 1
                raise QuotaExceeded(text)

    # -- gauges

    def by_namespace(self, nodes: Mapping[str, DataNode]) -> dict[str, dict[str, int]]:
        """Return gauge -> namespace -> sum over its quotas, gauges in the order of mntr."""
        gauges: dict[str, dict[str, int]] = {
            "quota_bytes_limit_per_namespace": {},
            "quota_count_usage_per_namespace": {},
            "quota_count_limit_per_namespace": {},
            "quota_bytes_usage_per_namespace": {},
        }

        def add(name: str, namespace: str, number: int) -> None:
            gauge = gauges[f"quota_{name}_per_namespace"]
            gauge[namespace] = gauge.get(namespace, 0) + number

        for quota_path in self._active:
            namespace = namespace_of(quota_path) or ""
            limits_node = nodes.get(f"{QUOTA}{quota_path}/{LIMITS_NAME}")
            if limits_node is not None:
                limits = QuotaText.parse(limits_node.data)
                hard_bytes, hard_count = limits.hard_size, limits.hard_count
                add("bytes_limit", namespace, hard_bytes if hard_bytes > -1 else limits.size)
                add("count_limit", namespace, hard_count if hard_count > -1 else limits.count)
            stats_node = nodes.get(f"{QUOTA}{quota_path}/{STATS_NAME}")
            if stats_node is not None:
                stats = QuotaText.parse(stats_node.data)
                add("count_usage", namespace, stats.count)
                add("bytes_usage", namespace, stats.size)
        return gauges


def _split_quota_path(path: str) -> tuple[str, str]:
    """Return (path that the quota is on, name of the znode) for a path below /zookeeper/quota."""
    quota_path, _, name = path[len(QUOTA) :].rpartition("/")
    return quota_path, name


def _walk(path: str, nodes: Mapping[str, DataNode]) -> list[str]:
    """Yield ``path`` and everything below it, as far as it exists; parents first."""
    if path not in nodes:
        return []
    paths = [path]
    for parent in paths:  # grows while it is walked
        children = nodes[parent].children
        if children:
            paths.extend(children.names)
    return paths


def _no_stats(quota_path: str, stats_path: str) -> None:
    log.warning(
        "quota on %s has no znode %s to count in", quota_path, stats_path, extra=about(quota_path)
    )


def _recount(quota_path: str, nodes: Mapping[str, DataNode]) -> None:
    """Write the true numbers into the stats znode."""
    assert quota_path != ROOT, "there is no quota on the root"
    stats_path = f"{QUOTA}{quota_path}/{STATS_NAME}"
    stats_node = nodes.get(stats_path)
    if stats_node is None:
        _no_stats(quota_path, stats_path)
        return
    paths = _walk(quota_path, nodes)
    size = sum(len(nodes[path].data or b"") for path in paths)
    stats_node.set_data_quietly(QuotaText({"count": len(paths), "bytes": size}).encode())

"""`pyzk purge`: remove snapshots and logs that no start of the server needs any more.

Shell. It keeps what autopurge keeps, and works beside a running server: whatever makes or removes
files of a data directory holds one lock (`pyzk.runtime.files.FilesLock`). ZooKeeper: zkCleanup.sh,
PurgeTxnLog
"""

from __future__ import annotations

import os
import stat

import click

from pyzk.cli.number import Number
from pyzk.cli.output import JSON, output_option, print_json, print_out
from pyzk.cli.sources import fail, load
from pyzk.errors import StorageError
from pyzk.exit_codes import ExitCode
from pyzk.persistence import purge
from pyzk.persistence.directory import Directory
from pyzk.persistence.filenames import VERSION_DIRECTORY
from pyzk.persistence.replacement import PLAN_NAME
from pyzk.runtime.files import FileDirectory, FilesLock, storage_error
from pyzk.runtime.main import refuse


@click.command("purge")
@click.argument("zoo_cfg", required=False, metavar="[ZOO_CFG]")
@click.option(
    "-n",
    "--count",
    type=Number("a number of snapshots", purge.MIN_RETAIN_COUNT),
    metavar="N",
    help="Snapshots to keep. Default: autopurge.snapRetainCount in ZOO_CFG, else 3.",
)
@click.option("--data-dir", metavar="DIR", help="Instead of ZOO_CFG.")
@click.option("--data-log-dir", metavar="DIR", help="Beside --data-dir, if logs are elsewhere.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@output_option
def command(
    zoo_cfg: str | None,
    count: int | None,
    data_dir: str | None,
    data_log_dir: str | None,
    dry_run: bool,
    output: str,
) -> None:
    """Remove snapshots and logs that no start needs any more; the server may run.

    It keeps the newest N snapshots that look whole, and every log that a start from the oldest of
    them needs.
    """
    if (zoo_cfg is None) == (data_dir is None):
        raise click.UsageError("give ZOO_CFG, or --data-dir DIR")
    if zoo_cfg is not None and data_log_dir is not None:
        raise click.UsageError("--data-log-dir goes with --data-dir only")
    if zoo_cfg is not None:
        config = load(zoo_cfg)
        count = count or config.autopurge_snap_retain_count
        data_dir, data_log_dir = config.data_dir, config.data_log_dir
    assert data_dir is not None
    try:
        removed = _purge(
            os.path.join(data_dir, VERSION_DIRECTORY),
            os.path.join(data_log_dir or data_dir, VERSION_DIRECTORY),
            count or purge.MIN_RETAIN_COUNT,
            dry_run=dry_run,
        )
    except StorageError as error:
        raise SystemExit(refuse(str(error), ExitCode.UNABLE_TO_ACCESS_DATADIR)) from None
    total = sum(size for _, size in removed)
    if output == JSON:
        files = [{"path": path, "bytes": size} for path, size in removed]
        print_json({"dry_run": dry_run, "bytes": total, "files": files})
        return
    word = "would remove" if dry_run else "removed"
    lines = [f"{word} {path} ({size} bytes)" for path, size in removed]
    lines.append(f"{word} {len(removed)} files, {total} bytes")
    print_out("\n".join(lines) + "\n")


def _purge(snap_path: str, log_path: str, count: int, *, dry_run: bool) -> list[tuple[str, int]]:
    """Remove what is not needed; return its paths and sizes, in the order of the removal. Raises
    StorageError."""
    for path in dict.fromkeys((snap_path, log_path)):
        if not _is_directory(path):
            fail(f"{path} is no directory of a server's data")
    snapshots, logs = FileDirectory(snap_path), FileDirectory(log_path)
    with FilesLock(snap_path, is_required=True):
        if PLAN_NAME in snapshots.names():
            raise StorageError(
                "a server has ended while it gave up the end of its history",
                path=snap_path,
                remedy="start it once, and purge then",
            )
        old_snapshots, old_logs = purge.choose(snapshots, logs, count)
        found = [*_sized(logs, log_path, old_logs), *_sized(snapshots, snap_path, old_snapshots)]
        if not dry_run:
            purge.purge(snapshots, logs, count)
    return found


def _is_directory(path: str) -> bool:
    """Return whether there is such a directory. Raises StorageError if that cannot be seen, as by a
    user who may not look there."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise storage_error(error, "use", path) from error


def _sized(directory: Directory, path: str, names: list[str]) -> list[tuple[str, int]]:
    return [(os.path.join(path, name), directory.size(name)) for name in names]

"""acceptedEpoch and currentEpoch: the files, what a start makes of them, and every crash."""

from __future__ import annotations

import random

import pytest

from pyzk.errors import Corrupt, QuorumProtocolError, StorageError
from pyzk.persistence.directory import MemoryDirectory
from pyzk.quorum.epochs import ACCEPTED, CURRENT, MAX_EPOCH, Epochs, load_epochs, save_epoch
from pyzk.quorum.packets import NOT_COUNTED
from pyzk.zxid import make
from tests.persistence.disks import get, put


class PowerCutError(Exception):
    """The plug is pulled here."""


def directory_with(accepted: bytes | None, current: bytes | None) -> MemoryDirectory:
    directory = MemoryDirectory("version-2")
    for name, raw in ((ACCEPTED, accepted), (CURRENT, current)):
        if raw is not None:
            put(directory, name, raw)
    return directory


def files(directory: MemoryDirectory) -> dict[str, bytes]:
    return {name: get(directory, name) for name in directory.names()}


# --- the table of a start -------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "current", "last_zxid", "expected", "noted"),
    [
        # nothing yet: a new member, or one that served alone
        (None, None, 0, (0, 0), 0),
        (None, None, -1, (0, 0), 0),
        (None, None, make(0, 77), (0, 0), 0),
        (None, None, make(3, 1), (3, 3), 0),
        # its own, whole
        (b"2", b"2", make(1, 5), (2, 2), 0),
        (b"3", b"2", make(2, 5), (3, 2), 0),
        (b"2147483647", b"2", make(2, 0), (MAX_EPOCH, 2), 0),
        (b"2\n", b"+2\r\nmore", make(2, 5), (2, 2), 0),
        # died at its first start, between the two
        (None, b"0", 0, (0, 0), 0),
        (None, b"3", make(3, 1), (3, 3), 0),
        # died with the transactions on disk and currentEpoch not yet
        (b"3", b"2", make(3, 1), (3, 3), 1),
        (b"5", b"2", make(3, 1), (5, 3), 1),
        # removed by hand; the original does the same
        (b"3", None, make(3, 1), (3, 3), 1),
    ],
)
def test_a_start(
    accepted: bytes | None,
    current: bytes | None,
    last_zxid: int,
    expected: tuple[int, int],
    noted: int,
) -> None:
    directory = directory_with(accepted, current)
    epochs, notes = load_epochs(directory, last_zxid)
    assert (epochs.accepted, epochs.current) == expected
    assert len(notes) == noted
    directory.crash()
    assert load_epochs(directory, last_zxid)[1] == []
    again, _ = load_epochs(directory, last_zxid)
    assert repr(again) == f"Epochs(accepted={expected[0]}, current={expected[1]})"


@pytest.mark.parametrize(
    ("accepted", "current", "last_zxid", "message"),
    [
        (b"1", b"2", 0, r"acceptedEpoch: is 1, less than currentEpoch, 2.*copied or edited"),
        (
            b"1",
            b"1",
            make(2, 3),
            r"the last transaction, 0x200000003, is of epoch 2.*remove accept",
        ),
        (b"1", None, make(2, 3), r"of epoch 2"),
        (None, b"2", make(1, 3), r"acceptedEpoch: is missing, and currentEpoch is 2.*is lost"),
    ],
)
def test_what_no_crash_can_leave_is_refused_with_a_remedy(
    accepted: bytes | None, current: bytes | None, last_zxid: int, message: str
) -> None:
    directory = directory_with(accepted, current)
    before = files(directory)
    with pytest.raises(StorageError, match=message):
        load_epochs(directory, last_zxid)
    assert files(directory) == before


@pytest.mark.parametrize(
    "raw", [b"", b"-1", b"x", b"1 ", b" 1", b"0x1", b"1.0", b"2147483648", b"9" * 300, b"\xff\0"]
)
@pytest.mark.parametrize("name", [ACCEPTED, CURRENT])
def test_a_file_that_holds_no_epoch_is_refused(name: str, raw: bytes) -> None:
    directory = directory_with(b"1", b"1")
    put(directory, name, raw)
    with pytest.raises(Corrupt, match=f"version-2/{name}: (holds|is empty).*restore"):
        load_epochs(directory, 0)


def test_an_unfinished_file_is_not_believed() -> None:
    """The original takes currentEpoch.tmp for the epoch, though its history may be missing."""
    directory = directory_with(b"4", b"2")
    put(directory, "currentEpoch.tmp", b"4")
    epochs, notes = load_epochs(directory, make(3, 1))
    assert epochs.current == 3
    assert "raised from 2 to 3" in notes[0]


# --- writing --------------------------------------------------------------------------


def test_the_file_holds_digits_only() -> None:
    directory = MemoryDirectory()
    save_epoch(directory, ACCEPTED, 12)
    assert files(directory) == {ACCEPTED: b"12"}
    save_epoch(directory, ACCEPTED, 9)
    assert files(directory) == {ACCEPTED: b"9"}


def operations() -> int:
    count = 0

    def counting(operation: str, name: str) -> None:
        nonlocal count
        count += 1

    directory = directory_with(b"1", b"1")
    directory.before = counting
    save_epoch(directory, CURRENT, 2)
    return count


def cut_power(directory: MemoryDirectory, operations: int) -> None:
    """Let a directory do so many operations more."""
    left = operations

    def cut(_operation: str, _name: str) -> None:
        nonlocal left
        if left == 0:
            raise PowerCutError
        left -= 1

    directory.before = cut


@pytest.mark.parametrize("at", range(operations() + 1))
@pytest.mark.parametrize("seed", [None, *range(8)])
def test_a_crash_leaves_the_old_number_or_the_new_one(at: int, seed: int | None) -> None:
    """The new epoch is read for certain once the call that saves it has returned."""
    directory = directory_with(b"9", b"1")
    cut_power(directory, at)
    has_returned = False
    try:
        save_epoch(directory, CURRENT, 2)
        has_returned = True
    except PowerCutError:
        pass
    assert has_returned == (at == operations())
    directory.crash(None if seed is None else random.Random(seed))
    epochs, _ = load_epochs(directory, 0)
    assert epochs.accepted == 9
    assert epochs.current in ((2,) if has_returned else (1, 2))


def test_what_a_start_without_data_has_read_is_on_the_disk() -> None:
    """The process is killed between the new name and its sync; the power goes after the start."""
    directory = directory_with(b"2", b"0")
    cut_power(directory, operations() - 1)
    with pytest.raises(PowerCutError):
        save_epoch(directory, ACCEPTED, 3)
    directory.before = lambda _operation, _name: None
    assert load_epochs(directory, -1)[0].accepted == 3
    directory.crash()
    assert load_epochs(directory, -1)[0].accepted == 3


@pytest.mark.parametrize("at", range(9))
@pytest.mark.parametrize("seed", range(6))
def test_a_first_start_can_be_cut_anywhere(at: int, seed: int) -> None:
    directory = MemoryDirectory()
    cut_power(directory, at)
    with pytest.raises(PowerCutError):
        load_epochs(directory, make(2, 1))
    directory.crash(random.Random(seed))
    epochs, _ = load_epochs(directory, make(2, 1))
    assert (epochs.accepted, epochs.current) == (2, 2)


def test_a_failing_disk_leaves_the_old_number() -> None:
    directory = directory_with(b"1", b"1")

    def full(operation: str, name: str) -> None:
        if operation == "write":
            raise StorageError("no space left", path=name)

    directory.before = full
    with pytest.raises(StorageError, match="no space"):
        save_epoch(directory, ACCEPTED, 2)
    directory.crash()
    assert load_epochs(directory, 0)[0].accepted == 1


def test_the_steps_of_a_synchronization_can_be_cut_anywhere() -> None:
    """acceptedEpoch, data, currentEpoch: whatever was done, the next start goes on from there."""
    steps = [(b"1", b"1", make(1, 9)), (b"3", b"1", make(1, 9)), (b"3", b"1", make(2, 4)),
             (b"3", b"1", make(3, 2)), (b"3", b"3", make(3, 2))]  # fmt: skip
    currents = []
    for accepted, current, last_zxid in steps:
        epochs, _ = load_epochs(directory_with(accepted, current), last_zxid)
        assert epochs.accepted >= epochs.current >= last_zxid >> 32
        currents.append(epochs.current)
    assert currents == [1, 1, 2, 3, 3]


# --- the answer to LEADERINFO ---------------------------------------------------------


def test_an_epoch_is_accepted_once() -> None:
    epochs = Epochs(accepted=4, current=3)
    assert epochs.answer(5) == 3
    assert epochs.answer(4) == NOT_COUNTED
    with pytest.raises(QuorumProtocolError, match="epoch 3, but epoch 4"):
        epochs.answer(3)

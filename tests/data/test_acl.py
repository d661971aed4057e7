"""The table of ACL lists: numbers, usage, what a snapshot brings."""

from __future__ import annotations

import pytest

from pyzk.data.acl import MAX_ACL_ID, OPEN_ACL, OPEN_ACL_ID, READ_ACL, AclTable
from pyzk.errors import Corrupt
from pyzk.jute.records import ACL

A = (ACL(1, "world", "anyone"),)
B = (ACL(31, "digest", "a:b"), ACL(1, "world", "anyone"))


def test_the_open_list_has_a_number_of_its_own_and_is_in_no_table() -> None:
    table = AclTable()
    assert table.intern((ACL(31, "world", "anyone"),)) == OPEN_ACL_ID
    assert table.get(OPEN_ACL_ID) == OPEN_ACL
    table.add_usage(OPEN_ACL_ID)
    table.release(OPEN_ACL_ID)
    assert len(table) == 0


def test_equal_lists_share_a_number_and_numbers_start_at_one() -> None:
    table = AclTable()
    assert table.intern(READ_ACL) == 1
    assert table.intern(B) == 2
    assert table.intern(A) == 1
    assert table.get(2) == B
    assert table.items() == [(1, A), (2, B)]


def test_a_list_lives_as_long_as_its_last_user() -> None:
    table = AclTable()
    table.intern(A)
    table.intern(A)
    table.release(1)
    assert table.get(1) == A
    table.release(1)
    assert len(table) == 0
    assert table.intern(A) == 2, "numbers are not used twice"


def test_an_unknown_number_is_corruption() -> None:
    with pytest.raises(Corrupt, match="unknown ACL list 7"):
        AclTable().get(7)


def test_loading_keeps_the_numbers_and_goes_on_behind_the_largest() -> None:
    table = AclTable()
    table.load(5, A)
    table.load(3, B)
    table.add_usage(5)
    table.add_usage(3)
    table.drop_unused()
    assert (table.get(5), table.get(3)) == (A, B)
    assert table.intern(A) == 5
    assert table.intern((ACL(2, "ip", "1.2.3.4"),)) == 6


def test_lists_without_user_are_dropped_after_loading() -> None:
    table = AclTable()
    table.load(1, A)
    table.load(2, B)
    table.add_usage(2)
    table.drop_unused()
    assert table.items() == [(2, B)]


def test_a_list_loaded_under_two_numbers_is_readable_under_both() -> None:
    table = AclTable()
    table.load(1, A)
    table.load(2, A)
    table.add_usage(1)
    table.add_usage(2)
    assert table.get(1) == table.get(2) == A
    table.release(1)
    assert table.intern(A) == 2


def test_znodes_of_a_fuzzy_snapshot_may_be_ahead_of_the_table() -> None:
    table = AclTable()
    table.add_usage(1)
    table.drop_unused()
    assert table.unknown() == [1]
    assert 1 not in table
    assert table.intern(A) == 1
    assert table.unknown() == []
    assert 1 in table
    assert OPEN_ACL_ID in table
    table.release(1)
    assert table.get(1) == A, "the znode that was ahead still counts"


def test_releasing_a_number_nobody_knows_is_harmless() -> None:
    table = AclTable()
    table.release(9)
    assert len(table) == 0


def test_numbers_begin_again_when_no_higher_one_fits_a_znode() -> None:
    table = AclTable()
    table.load(1, B)
    table.load(MAX_ACL_ID, READ_ACL)
    assert table.intern((ACL(2, "world", "anyone"),)) == 2
    assert table.intern((ACL(4, "world", "anyone"),)) == 3
    assert table.intern(B) == 1


@pytest.mark.parametrize("acl_id", [MAX_ACL_ID + 1, -MAX_ACL_ID - 1, 1 << 40])
def test_a_number_that_fits_no_znode_is_refused(acl_id: int) -> None:
    with pytest.raises(ValueError, match=f"an ACL list has the number {acl_id}"):
        AclTable().load(acl_id, A)

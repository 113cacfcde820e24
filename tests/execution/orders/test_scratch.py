"""The temporary file takes all rows or none, and the sieve forgets nothing that was added."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.errors import JournalError
from execution.orders.scratch import Scratch, Sieve

INSERT = "INSERT INTO words VALUES (?)"


@pytest.fixture
def file() -> Scratch:
    return Scratch("CREATE TABLE words (word TEXT PRIMARY KEY);")


def test_rows_that_do_not_fit_take_the_others_back_with_them(file: Scratch) -> None:
    file.write([(INSERT, [("one",)])])
    with pytest.raises(sqlite3.IntegrityError):
        file.write([(INSERT, [("two",)]), (INSERT, [("three",), ("one",)])])
    assert file.rows("SELECT word FROM words") == [("one",)]
    file.write([(INSERT, [("two",)])])
    assert file.rows("SELECT word FROM words WHERE word = ?", "two") == [("two",)]


def test_a_file_that_cannot_be_read_says_what_to_do(file: Scratch) -> None:
    with pytest.raises(JournalError, match="make room where temporary files lie and restart"):
        file.rows("SELECT * FROM nothing")


@given(st.sets(st.tuples(st.sampled_from(("name", "perm_id")), st.integers() | st.text())))
def test_the_sieve_lets_everything_through_that_was_added(keys: set[tuple[str, int | str]]) -> None:
    sieve = Sieve()
    assert not sieve.may_hold("name", "before")
    for kind, key in keys:
        sieve.add(kind, key)
    assert all(sieve.may_hold(kind, key) for kind, key in keys)


def test_the_sieve_holds_most_of_what_was_never_added() -> None:
    sieve = Sieve()
    for number in range(10_000):
        sieve.add("perm_id", number)
    strangers = sum(sieve.may_hold("perm_id", number) for number in range(1_000_000, 1_010_000))
    assert strangers < 100

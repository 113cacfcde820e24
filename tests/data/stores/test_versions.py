"""The versions of bars against a plain dictionary that remembers everything."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data.errors import BarConflictError
from data.stores.rows import Rows, empty_rows, ranked
from data.stores.versions import Change, as_known, compare, join, positions

Fact = tuple[str, int, int, int]
"""Symbol, start, moment, value."""

_KEYS = st.tuples(st.sampled_from("ABC"), st.integers(0, 3))
_FACTS = st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 3), st.integers(0, 4), st.integers(1, 3)))


def rows(facts: list[Fact]) -> Rows:
    facts = sorted(facts)
    symbols, codes = ranked([fact[0] for fact in facts])
    start = np.array([fact[1] for fact in facts], np.int64)
    known = np.array([fact[2] for fact in facts], np.int64)
    value = np.array([fact[3] for fact in facts], np.float64)
    return Rows.of(symbols, codes, [start, start + 1, value, value, value, value, value, known])


def facts_of(given_rows: Rows) -> list[Fact]:
    return [
        (given_rows.symbols[c], int(s), int(k), int(v))
        for c, s, k, v in zip(
            given_rows.codes, given_rows.start, given_rows.known, given_rows.close, strict=True
        )
    ]


class Book:
    """Rows that hold and versions, kept by `compare` as a store keeps them."""

    def __init__(self) -> None:
        self.current = empty_rows()
        nothing = empty_rows()
        self.versions = nothing.with_superseded(nothing.known)

    def write(self, incoming: Rows) -> Change:
        change = compare(incoming, self.current, lambda _: self.versions)
        kept = self.current.take(positions(self.current, change.replaced) < 0)
        self.current = join([kept, change.fresh, change.replaced])
        untouched = self.versions.take(positions(self.versions, change.rewritten) < 0)
        self.versions = join([untouched, change.superseded])
        return change


class Witness:
    """All that was ever said of a bar, by moment; a value that repeats the one before it is dropped."""

    def __init__(self) -> None:
        self.said: dict[tuple[str, int], dict[int, int]] = {}

    def write(self, batch: list[Fact]) -> bool:
        """Take a batch and say whether it contradicts nothing; else leave it."""
        said = {key: dict(chain) for key, chain in self.said.items()}
        for symbol, start, moment, value in batch:
            chain = said.setdefault((symbol, start), {})
            then = self.at(symbol, start, moment)
            if then is not None and chain.get(moment, value) != value:
                return False
            if then != value:
                chain[moment] = value
            later = sorted(m for m in chain if m > moment)
            if later and chain[later[0]] == value and moment in chain:
                del chain[later[0]]
        self.said = said
        return True

    def at(self, symbol: str, start: int, moment: int) -> int | None:
        chain = self.said.get((symbol, start), {})
        known = [m for m in chain if m <= moment]
        return chain[max(known)] if known else None


@given(st.lists(st.dictionaries(_KEYS, st.tuples(st.integers(0, 4), st.integers(1, 3)), max_size=6)))
def test_a_store_remembers_what_a_dictionary_of_everything_said_remembers(
    batches: list[dict[tuple[str, int], tuple[int, int]]],
) -> None:
    book, witness = Book(), Witness()
    for batch in batches:
        facts = [(symbol, start, moment, value) for (symbol, start), (moment, value) in batch.items()]
        refused = not witness.write(facts)
        try:
            change = book.write(rows(facts)) if facts else None
            assert not refused
            assert change is None or change.inserted + change.revised + change.unchanged == len(facts)
        except BarConflictError:
            assert refused
        for moment in range(6):
            then = as_known(book.current, book.versions, moment)
            known = {(symbol, start): value for symbol, start, _, value in facts_of(then)}
            expected = {key: witness.at(*key, moment) for key in witness.said}
            assert known == {key: value for key, value in expected.items() if value is not None}
            assert facts_of(then) == sorted(facts_of(then))


@given(_FACTS, _FACTS)
def test_positions_are_those_of_a_plain_search(first: list[Fact], second: list[Fact]) -> None:
    some = rows(list({fact[:2]: fact for fact in first}.values()))
    among = rows(list({fact[:2]: fact for fact in second}.values()))
    keys = [fact[:2] for fact in facts_of(among)]
    expected = [keys.index(fact[:2]) if fact[:2] in keys else -1 for fact in facts_of(some)]
    assert positions(some, among).tolist() == expected
    assert positions(some, some).tolist() == list(range(len(some)))

"""A quotes file is used whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from backtesting.gateway.errors import QuoteFileError
from backtesting.gateway.market.quote_file import QuoteRow, load_quotes

HEAD = "time,symbol,bid,ask,bid_size,ask_size"
ROW = "2018-01-02T14:30:00Z,AAA,99.5,100.5,300,400"
OPEN_NS = 1_514_903_400_000_000_000


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "quotes.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_newest_row_up_to_a_moment_counts(tmp_path: Path) -> None:
    later = "2018-01-02T09:30:01.5-05:00,AAA,99.6,100.6,1,2"
    other = "2018-01-02T14:30:00Z,BBB,1,2,3,4"
    table = load_quotes(written(tmp_path, HEAD, ROW, other, later))
    assert table.symbols == ("AAA", "BBB")
    assert table.at("AAA", OPEN_NS - 1) is None
    assert table.at("AAA", OPEN_NS) == QuoteRow(OPEN_NS, 99.5, 100.5, 300.0, 400.0)
    second = table.at("AAA", OPEN_NS + 1_500_000_000)
    assert second is not None
    assert second.bid == 99.6
    assert table.at("ZZZ", OPEN_NS) is None


def test_last_may_be_given_and_may_be_empty(tmp_path: Path) -> None:
    table = load_quotes(
        written(tmp_path, HEAD + ",last,last_size", ROW + ",100,7", ROW.replace(":00Z", ":01Z") + ",,")
    )
    first, second = table.at("AAA", OPEN_NS), table.at("AAA", OPEN_NS + 1_000_000_000)
    assert first is not None
    assert second is not None
    assert (first.last, first.last_size, second.last) == (100.0, 7.0, None)


def test_parquet_holds_the_same(tmp_path: Path) -> None:
    path = tmp_path / "quotes.parquet"
    frame = pd.DataFrame(
        {
            "time": [pd.Timestamp("2018-01-02T14:30:00Z")],
            "symbol": ["AAA"],
            "bid": [99.5],
            "ask": [100.5],
            "bid_size": [300],
            "ask_size": [400],
            "last": [None],
            "last_size": [None],
        }
    )
    frame.to_parquet(path)
    assert load_quotes(path).at("AAA", OPEN_NS) == QuoteRow(OPEN_NS, 99.5, 100.5, 300.0, 400.0)
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(QuoteFileError, match="not a Parquet file"):
        load_quotes(path)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((HEAD,), "no quotes"),
        (("time,symbol,bid", ROW), "it needs time,symbol,bid,ask"),
        ((HEAD + ",last", ROW + ",1"), "it needs"),
        ((HEAD + ",price", ROW + ",1"), "it needs"),
        ((HEAD, ROW, ROW), "line 3: not later than the row of AAA before it"),
        ((HEAD, ROW + ",5"), "line 2: 7 fields, the header has 6"),
        ((HEAD, ROW.replace("Z", "")), "line 2: time '2018-01-02T14:30:00' is not like"),
        ((HEAD, ROW.replace("-01-02", "-13-02")), "line 2: there is no time"),
        ((HEAD, ROW.replace("AAA", "aaa")), "line 2: symbol 'aaa'"),
        ((HEAD, ROW.replace("99.5", "nan")), "line 2: bid 'nan' is not a plain number"),
        ((HEAD, ROW.replace("99.5", "101")), "line 2: bid 101 and ask 100.5"),
        ((HEAD, ROW.replace("99.5", "0")), "0 < bid <= ask"),
        ((HEAD + ",last,last_size", ROW + ",1,"), "given together"),
        ((HEAD + ",last,last_size", ROW + ",0,1"), "last 0 must be positive"),
        ((HEAD, '"' + ROW), "line 2: "),
    ],
)
def test_the_first_fault_is_named_with_its_line(tmp_path: Path, lines: tuple[str, ...], said: str) -> None:
    path = written(tmp_path, *lines)
    with pytest.raises(QuoteFileError) as refused:
        load_quotes(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_file_that_is_missing_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QuoteFileError, match="cannot be read"):
        load_quotes(tmp_path / "none.csv")
    other = tmp_path / "quotes.txt"
    other.write_text(HEAD)
    with pytest.raises(QuoteFileError, match=r"ends in .csv or .parquet"):
        load_quotes(other)
    latin = tmp_path / "quotes.csv"
    latin.write_bytes(b"time\xff")
    with pytest.raises(QuoteFileError, match="not UTF-8 text"):
        load_quotes(latin)

"""The Parquet store's files: same rows, same bytes; cut off, foreign or half-replaced files are told."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import BarConflictError, BarStoreError
from data.stores import ParquetBarStore, WriteReport
from data.stores.parquet import read_file
from execution.timeframes import Timeframe

Minutes = Callable[..., pa.Table]
MINUTE = Timeframe.MINUTE
MONDAY = pd.Timestamp("2024-03-11", tz="UTC")
TUESDAY = pd.Timestamp("2024-03-12", tz="UTC")


def contents(root: Path) -> dict[str, bytes]:
    files = sorted(path for path in root.rglob("*.parquet"))
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture
def store(tmp_path: Path) -> ParquetBarStore:
    return ParquetBarStore(tmp_path / "bars")


def test_the_same_rows_give_the_same_bytes_in_whatever_order_they_were_written(
    tmp_path: Path, minutes: Minutes
) -> None:
    bars = {"AAA": {n: 10.0 + n for n in range(6)}, "BBB": {3: 5.0}}
    one, other = ParquetBarStore(tmp_path / "one"), ParquetBarStore(tmp_path / "other")
    one.write(minutes(bars), known_at=MONDAY)
    for n in (4, 2, 0, 5, 3, 1):
        other.write(minutes({"AAA": {n: 10.0 + n}}), known_at=MONDAY)
    other.write(minutes({"BBB": {3: 5.0}}), known_at=MONDAY)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
    assert list(contents(tmp_path / "one")) == ["1m/AAA/2024.parquet", "1m/BBB/2024.parquet"]
    for store in (one, other):
        store.write(minutes({"AAA": {1: 9.0}}), known_at=TUESDAY)
    assert "1m/AAA/2024.versions.parquet" in contents(tmp_path / "one")
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_minutes_of_two_years_lie_in_two_files(store: ParquetBarStore) -> None:
    starts = pd.to_datetime(["2023-12-29 20:59", "2024-01-02 14:30"], utc=True)
    frame = pd.DataFrame(
        {"symbol": "BRK B", "start": starts, "end": starts + pd.Timedelta(minutes=1), "volume": 1.0}
        | dict.fromkeys(("open", "high", "low", "close"), 10.0)
    )
    store.write(frame, known_at=MONDAY)
    assert list(contents(store.root)) == ["1m/BRK B/2023.parquet", "1m/BRK B/2024.parquet"]
    assert store.symbols() == ["BRK B"]
    assert store.read("BRK B", MINUTE, start=starts[1]).to_arrow().num_rows == 1
    assert store.read("BRK B", MINUTE).to_arrow().num_rows == 2
    assert store.last("BRK B", MINUTE)["start"][0].as_py() == starts[1]


def test_a_slash_in_a_symbol_stays_one_folder(store: ParquetBarStore, minutes: Minutes) -> None:
    store.write(minutes({"EUR/USD": {0: 1.1}}), known_at=MONDAY)
    assert store.symbols() == ["EUR/USD"]
    assert store.read("EUR/USD", MINUTE).to_arrow().num_rows == 1
    assert store.read("../../etc", MINUTE).to_arrow().num_rows == 0


def test_a_file_that_is_cut_off_is_named(store: ParquetBarStore, minutes: Minutes) -> None:
    store.write(minutes({"AAA": {0: 1.0}, "BBB": {0: 1.0}}), known_at=MONDAY)
    path = store.root / "1m" / "BBB" / "2024.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    for ask in (
        lambda: store.read(None, MINUTE).to_arrow(),
        lambda: store.write(minutes({"AAA": {1: 2.0}, "BBB": {1: 1.0}}), known_at=TUESDAY),
        store.holdings,
    ):
        with pytest.raises(BarStoreError, match=r"BBB/2024\.parquet: not a sound Parquet file"):
            ask()
    assert store.read("AAA", MINUTE).to_arrow().num_rows == 1


def test_a_foreign_file_is_refused_with_what_it_holds(store: ParquetBarStore, minutes: Minutes) -> None:
    store.write(minutes({"AAA": {0: 1.0, 1: 2.0}}), known_at=MONDAY)
    path = store.root / "1m" / "AAA" / "2024.parquet"
    sound = pq.read_table(path)
    pq.write_table(sound.set_column(2, "open", sound["open"].cast(pa.float32())), path)
    with pytest.raises(BarStoreError, match=r"2024\.parquet: holds .*open float, .*expected .*open double"):
        store.read("AAA", MINUTE).to_arrow()
    pq.write_table(sound.take([1, 0]), path)
    with pytest.raises(BarStoreError, match=r"2024\.parquet, row 2: starts no later"):
        store.read("AAA", MINUTE).to_arrow()


def test_a_conflict_in_one_file_keeps_all_files_as_they_were(
    store: ParquetBarStore, minutes: Minutes
) -> None:
    store.write(minutes({"BBB": {0: 1.0}}), known_at=MONDAY)
    before = contents(store.root)
    with pytest.raises(BarConflictError):
        store.write(minutes({"AAA": {0: 1.0}, "BBB": {0: 2.0}}), known_at=MONDAY)
    assert contents(store.root) == before
    assert not (store.root / ".pending").exists()


@pytest.fixture
def mebibyte(
    tmp_path: Path, small_disk: Callable[[Path, str], AbstractContextManager[Path]]
) -> Iterator[Path]:
    """A file system of one mebibyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder, "1m") as disk:
        yield disk


def test_a_full_disk_leaves_the_store_as_it_was_and_the_same_write_finishes_later(
    mebibyte: Path, minutes: Minutes
) -> None:
    store = ParquetBarStore(mebibyte / "bars")
    first = minutes({"AAA": dict.fromkeys(range(50), 10.0)})
    store.write(first, known_at=MONDAY)
    before = contents(store.root)
    ballast = mebibyte / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(mebibyte).free - 32 * 1024))
    more = minutes({f"S{n}": {m: 10.0 + (m * 37 % 101) / 100 for m in range(600)} for n in range(8)})
    with pytest.raises(BarStoreError, match=r"nothing was written; the disk is full: free some space"):
        store.write(more, known_at=TUESDAY)
    assert contents(store.root) == before
    ballast.unlink()
    assert store.write(more, known_at=TUESDAY) == WriteReport(4_800, 0, 0)
    assert store.read(None, MINUTE).to_arrow().num_rows == 4_850


_KILLED = """
import os, sys
from pathlib import Path
import pandas as pd, pyarrow as pa
from data.stores import ParquetBarStore
root, table, renames = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
done = 0
rename = Path.rename
def dying(self, target):
    global done
    if done == renames:
        os._exit(9)
    done += 1
    return rename(self, target)
Path.rename = dying
with pa.ipc.open_file(table) as file:
    ParquetBarStore(root).write(file.read_all(), known_at=pd.Timestamp("2024-03-12", tz="UTC"))
"""


@pytest.mark.parametrize("renames", [0, 1, 3])
def test_a_writer_that_dies_has_written_all_or_nothing(
    store: ParquetBarStore, minutes: Minutes, tmp_path: Path, renames: int
) -> None:
    store.write(minutes({s: {0: 1.0} for s in ("AAA", "BBB")}), known_at=MONDAY)
    before = contents(store.root)
    table = tmp_path / "table.arrow"
    more = minutes({s: {1: 2.0} for s in ("AAA", "BBB", "CCC")})
    with pa.ipc.new_file(table, more.schema) as file:
        file.write_table(more)
    command = [sys.executable, "-c", _KILLED, str(store.root), str(table), str(renames)]
    assert subprocess.run(command, check=False).returncode == 9
    rows = store.read(None, MINUTE).to_arrow().num_rows
    # The first rename puts the list of replacements in place: from there on the write has happened.
    assert rows == (2 if renames == 0 else 5)
    if renames == 0:
        assert contents(store.root) == before
    report = store.write(more, known_at=TUESDAY)
    assert report == (WriteReport(3, 0, 0) if renames == 0 else WriteReport(0, 0, 3))
    assert store.read(None, MINUTE).to_arrow().num_rows == 5
    assert not (store.root / ".pending").exists()


def test_a_file_larger_than_the_process_may_write_is_told(
    store: ParquetBarStore, minutes: Minutes, tmp_path: Path
) -> None:
    table = tmp_path / "table.arrow"
    more = minutes({"AAA": {0: 1.0}})
    with pa.ipc.new_file(table, more.schema) as file:
        file.write_table(more)
    limited = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))\n" + _KILLED
    )
    command = [sys.executable, "-c", limited, str(store.root), str(table), "99"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "nothing was written; a file would be larger than this process may write" in done.stderr
    assert contents(store.root) == {}
    assert store.write(more, known_at=TUESDAY) == WriteReport(1, 0, 0)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, minutes: Minutes) -> None:
    (tmp_path / "bars").write_text("a file")
    with pytest.raises(BarStoreError, match=r"bars: nothing was written; .*: check the folder"):
        ParquetBarStore(tmp_path / "bars").write(minutes({"AAA": {0: 1.0}}), known_at=MONDAY)


def test_many_files_are_read_side_by_side(store: ParquetBarStore, minutes: Minutes) -> None:
    names = [f"S{n:02d}" for n in range(12)]
    store.write(minutes({name: {0: 1.0 + n} for n, name in enumerate(names)}), known_at=MONDAY)
    table = store.read(None, MINUTE).to_arrow()
    assert table["symbol"].to_pylist() == names
    assert table["close"].to_pylist() == [1.0 + n for n in range(12)]


def test_one_file_can_be_checked_by_itself(store: ParquetBarStore, tmp_path: Path) -> None:
    with pytest.raises(BarStoreError, match=r"none\.parquet: not a sound Parquet file"):
        read_file(tmp_path / "none.parquet", pa.schema([]))

"""The Parquet store's files: same rows, same bytes; cut off, foreign or half-replaced files are told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import BarConflictError, BarStoreError
from data.stores import ParquetBarStore, WriteReport
from data.stores.commit import ReplacedTogether
from data.stores.parquet_files import read_bars
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


_PROGRAM = """
import os, sys
from pathlib import Path
import pandas as pd, pyarrow as pa
from data.stores import ParquetBarStore
root, table = Path(sys.argv[1]), sys.argv[2]
with pa.ipc.open_file(table) as file:
    bars = file.read_all()
TUESDAY = pd.Timestamp("2024-03-12", tz="UTC")
"""


def run(program: str, root: Path, bars: pa.Table, **variables: str) -> subprocess.Popen[str]:
    """Start a program that knows the folder of a store and bars to write."""
    table = root.parent / f"{len(list(root.parent.iterdir()))}.arrow"
    with pa.ipc.new_file(table, bars.schema) as file:
        file.write_table(bars)
    command = [sys.executable, "-c", _PROGRAM + program, str(root), str(table)]
    return subprocess.Popen(command, env=os.environ | variables, stderr=subprocess.PIPE, text=True)


_KILLED = """
import itertools, shutil, signal
from data.stores.commit import ReplacedTogether
from execution.timeframes import Timeframe
EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "fcntl.flock"}
copy, steps = root.with_name("copy"), 0

def dying(step):
    def count(event, arguments):
        global steps
        if event not in EVENTS:
            return
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    ParquetBarStore(copy).write(bars, known_at=TUESDAY)

def rows():
    return ParquetBarStore(copy).read(None, Timeframe.MINUTE).to_arrow().num_rows

def looked_at():
    seen = rows(), ParquetBarStore(copy).symbols(), len(ParquetBarStore(copy).holdings())
    assert seen in ((2, ["AAA", "BBB"], 2), (6, ["AAA", "BBB", "CCC"], 3)), seen
    again = ParquetBarStore(copy).write(bars, known_at=TUESDAY)
    assert (again.inserted, again.revised) == ((4, 1) if seen[0] == 2 else (0, 0)), again
    assert rows() == 6 and not (copy / ".pending").exists()
    os._exit(0 if seen[0] == 2 else 7)

def ended(work, *arguments):
    child = os.fork()
    if child == 0:
        work(*arguments)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

seen = set()
for step in itertools.count(1):
    shutil.copytree(root, copy)
    died = ended(dying, step)
    if died == 0:
        break
    assert died == -signal.SIGKILL, died
    seen.add(ended(looked_at))
    shutil.rmtree(copy)
assert step > 30 and seen == {0, 7}, (step, seen)
"""


def test_a_writer_that_is_killed_at_any_step_has_written_all_or_nothing(
    store: ParquetBarStore, minutes: Minutes
) -> None:
    """Each step is one call that the file system sees; after it somebody reads, and writes the same again."""
    store.write(minutes({s: {0: 1.0} for s in ("AAA", "BBB")}), known_at=MONDAY)
    more = {s: {1: 2.0} for s in ("AAA", "BBB", "CCC")}
    more["AAA"] = {0: 3.0, 1: 2.0, 2: 2.0}
    with run(_KILLED, store.root, minutes(more)) as program:
        _, told = program.communicate()
    assert program.returncode == 0, told


_MANY_WRITES = """
for row in range(0, bars.num_rows, 4):
    ParquetBarStore(root).write(bars.slice(row, 4), known_at=TUESDAY)
"""


def test_two_writers_lose_nothing_and_a_reader_sees_no_half_of_a_write(
    store: ParquetBarStore, minutes: Minutes
) -> None:
    def bars(first: int) -> pa.Table:
        names = ("AAA", "BBB", "CCC", "DDD")
        return pa.concat_tables([minutes({s: {n: 10.0} for s in names}) for n in range(first, 30, 2)])

    with run(_MANY_WRITES, store.root, bars(0)) as one, run(_MANY_WRITES, store.root, bars(1)) as other:
        while one.poll() is None or other.poll() is None:
            table = store.read(None, MINUTE).to_arrow()
            counts = {tuple(entry.values()) for entry in table["symbol"].value_counts().to_pylist()}
            assert len({count for _, count in counts}) <= 1, counts
            assert len(counts) in (0, 4), counts
    assert (one.returncode, other.returncode) == (0, 0)
    assert store.read(None, MINUTE).to_arrow().num_rows == 120


def test_the_first_write_waits_for_who_reads_already(store: ParquetBarStore, minutes: Minutes) -> None:
    store.root.mkdir()
    listed = store.root / ".pending" / "commit.json"
    with ThreadPoolExecutor(1) as pool:
        with ReplacedTogether(store.root).reading():
            written = pool.submit(store.write, minutes({"AAA": {0: 1.0}}), known_at=MONDAY)
            while not listed.exists() and not written.done():
                time.sleep(0.01)
            assert not written.done()
            assert contents(store.root) == {}
        assert written.result() == WriteReport(1, 0, 0)


def test_a_write_is_finished_where_somebody_removed_the_folder_after_the_writer_died(
    store: ParquetBarStore, minutes: Minutes
) -> None:
    store.write(minutes({"AAA": {0: 1.0}}), known_at=MONDAY)
    (store.root / ".pending").mkdir()
    (store.root / "1m" / "AAA" / "2024.parquet").rename(store.root / ".pending" / "0")
    (store.root / "1m" / "AAA").rmdir()
    (store.root / ".pending" / "commit.json").write_text('["1m/AAA/2024.parquet"]')
    assert store.read("AAA", MINUTE).to_arrow().num_rows == 1
    assert not (store.root / ".pending" / "commit.json").exists()


def test_any_process_writes_the_same_bytes(tmp_path: Path, minutes: Minutes) -> None:
    bars = minutes({f"S{n}": {m: 10.0 + (m * 37 % 101) / 100 for m in range(300)} for n in range(4)})
    once = "ParquetBarStore(root).write(bars, known_at=TUESDAY)"
    found = []
    for seed, threads in (("0", "1"), ("4711", "7")):
        (tmp_path / seed).mkdir()
        with run(
            once, tmp_path / seed / "bars", bars, PYTHONHASHSEED=seed, OMP_NUM_THREADS=threads
        ) as program:
            _, told = program.communicate()
        assert program.returncode == 0, told
        found.append(contents(tmp_path / seed / "bars"))
    assert found[0] == found[1]
    assert len(found[0]) == 4


def test_a_file_larger_than_the_process_may_write_is_told(store: ParquetBarStore, minutes: Minutes) -> None:
    more = minutes({"AAA": {0: 1.0}})
    limited = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))
ParquetBarStore(root).write(bars, known_at=TUESDAY)
"""
    with run(limited, store.root, more) as program:
        _, told = program.communicate()
    assert "nothing was written; a file would be larger than this process may write" in told
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


@pytest.mark.parametrize("kind", ["columns", "copied year", "out of order"])
def test_of_many_files_the_one_at_fault_is_named(kind: str, store: ParquetBarStore, minutes: Minutes) -> None:
    store.write(minutes({f"S{n:02d}": {0: 1.0, 1: 2.0} for n in range(12)}), known_at=MONDAY)
    path = store.root / "1m" / "S05" / "2024.parquet"
    table, said = read_bars(path), kind
    if kind == "columns":
        table, said = table.drop_columns("known_at"), "it was not written by this store"
    elif kind == "copied year":
        path, said = path.with_name("2023.parquet"), "holds bars of another year than its name says"
    else:
        table, said = table.take([1, 0]), "row 2: starts no later than the row before it"
    pq.write_table(table, path)
    with pytest.raises(BarStoreError, match=f"S05/{path.name}.*{said}"):
        store.read(None, MINUTE).to_arrow()


def test_one_file_can_be_checked_by_itself(store: ParquetBarStore, tmp_path: Path) -> None:
    with pytest.raises(BarStoreError, match=r"none\.parquet: not a sound Parquet file"):
        read_bars(tmp_path / "none.parquet")


@pytest.fixture(params=["alone", "among many"])
def damaged(
    store: ParquetBarStore, minutes: Minutes, request: pytest.FixtureRequest
) -> Iterator[Callable[[int, int], str | None]]:
    """Say how a store answers whose file has some bits flipped in a byte; None if the bars are the same.

    Many files are read at once, a few each by itself.
    """
    others = {f"{letter}{letter}": {0: 1.0} for letter in "ABCDEFGHIJ"} if request.param != "alone" else {}
    store.write(minutes(others | {"AAA": {n: 10.0 + n * 37 % 101 for n in range(300)}}), known_at=MONDAY)
    path = store.root / "1m" / "AAA" / "2024.parquet"
    sound, expected = path.read_bytes(), store.read(None, MINUTE).to_arrow()

    def answer(place: int, bits: int) -> str | None:
        path.write_bytes(sound[:place] + bytes([sound[place] ^ bits]) + sound[place + 1 :])
        try:
            assert store.read(None, MINUTE).to_arrow().equals(expected)
        except BarStoreError as error:
            return str(error)
        return None

    yield answer
    path.write_bytes(sound)


@pytest.mark.parametrize("part", ["rows", "footer"])
def test_a_flipped_bit_is_told_or_does_no_harm(
    store: ParquetBarStore, damaged: Callable[[int, int], str | None], part: str
) -> None:
    """Most flips of a compressed page would else decompress to other prices."""
    path = store.root / "1m" / "AAA" / "2024.parquet"
    content = path.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    places = range(4, footer, 23) if part == "rows" else range(footer, len(content), 3)
    told = [message for place in places if (message := damaged(place, 1 << place % 8))]
    assert len(told) > len(places) // 3
    assert all(message.startswith(str(path)) for message in told)


def test_a_footer_that_counts_fewer_rows_makes_no_shorter_history(
    store: ParquetBarStore, damaged: Callable[[int, int], str | None]
) -> None:
    """The number of the rows is in the footer several times, as a zigzag varint."""
    content = (store.root / "1m" / "AAA" / "2024.parquet").read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    count = bytes([300 << 1 & 0x7F | 0x80, 300 << 1 >> 7])
    places = [at for at in range(footer, len(content)) if content.startswith(count, at)]
    told = [damaged(at, 1 << 4) or "" for at in places]
    assert any("rows where its footer counts" in message for message in told)


def test_a_year_under_another_name_is_not_read_twice(store: ParquetBarStore, minutes: Minutes) -> None:
    store.write(minutes({"AAA": {0: 1.0}}), known_at=MONDAY)
    folder = store.root / "1m" / "AAA"
    shutil.copy(folder / "2024.parquet", folder / "2023.parquet")
    for ask in (
        lambda: store.read("AAA", MINUTE).to_arrow(),
        lambda: store.head("AAA", MINUTE),
        lambda: store.read("AAA", MINUTE, as_of=TUESDAY).to_arrow(),
    ):
        with pytest.raises(BarStoreError, match=r"2023\.parquet: holds bars of another year than its name"):
            ask()
    (folder / "2023.parquet").unlink()
    assert store.read("AAA", MINUTE).to_arrow().num_rows == 1


def test_files_and_folders_of_others_are_left_alone(store: ParquetBarStore, minutes: Minutes) -> None:
    store.write(minutes({"AAA": {0: 1.0}}), known_at=MONDAY)
    folder = store.root / "1m" / "AAA"
    for name in ("02024.parquet", "2024 (copy).parquet", "\N{SUPERSCRIPT TWO}.parquet", "2025.csv", "2025"):
        shutil.copy(folder / "2024.parquet", folder / name)
    (store.root / "1m" / ".DS_Store").write_text("not ours")
    for name in ("lost+found", "%41AA", "no bars", "..%2F..", "EMPTY"):
        (store.root / "1m" / name).mkdir()
    (store.root / "5m" / "AAA").mkdir(parents=True)
    assert store.symbols() == ["AAA"]
    assert [held.symbol for held in store.holdings()] == ["AAA"]
    assert store.read(None, MINUTE).to_arrow().num_rows == 1
    assert store.write(minutes({"AAA": {1: 1.0}}), known_at=MONDAY) == WriteReport(1, 0, 0)


def test_names_that_differ_in_small_letters_are_two_folders_on_any_file_system(
    store: ParquetBarStore, minutes: Minutes
) -> None:
    names = ["^SPX", "BRK B", "BRK b", "CON", "EUR/USD", "EURUSD=X", "Z" * 32, "z" * 32]
    store.write(minutes({name: {0: 1.0 + n} for n, name in enumerate(names)}), known_at=MONDAY)
    folders = [path.name for path in (store.root / "1m").iterdir()]
    assert len({name.casefold() for name in folders}) == len(names)
    assert max(map(len, folders)) < 255
    assert store.symbols() == sorted(names)
    for n, name in enumerate(names):
        assert store.read(name, MINUTE).to_arrow()["close"].to_pylist() == [1.0 + n]


def test_versions_without_their_bars_and_those_of_another_backup_are_told(
    store: ParquetBarStore, minutes: Minutes
) -> None:
    store.write(minutes({"AAA": {0: 1.0}}), known_at=MONDAY)
    path = store.root / "1m" / "AAA" / "2024.parquet"
    before = path.read_bytes()
    store.write(minutes({"AAA": {0: 2.0}}), known_at=TUESDAY)
    after = path.read_bytes()
    path.write_bytes(before)
    with pytest.raises(BarStoreError, match=r"it and 2024\.versions\.parquet do not belong together"):
        store.read("AAA", MINUTE, as_of=MONDAY).to_arrow()
    path.unlink()
    with pytest.raises(BarStoreError, match=r"versions\.parquet: the versions of bars that are gone"):
        store.write(minutes({"AAA": {0: 1.0}}), known_at=MONDAY)
    path.write_bytes(after)
    assert store.read("AAA", MINUTE, as_of=MONDAY).to_arrow()["close"].to_pylist() == [1.0]


def test_versions_out_of_order_are_told(store: ParquetBarStore, minutes: Minutes) -> None:
    store.write(minutes({"AAA": {0: 1.0, 1: 1.0}}), known_at=MONDAY)
    store.write(minutes({"AAA": {0: 2.0, 1: 2.0}}), known_at=TUESDAY)
    path = store.root / "1m" / "AAA" / "2024.versions.parquet"
    pq.write_table(pq.read_table(path, partitioning=None).take([1, 0]), path)
    with pytest.raises(BarStoreError, match=r"versions\.parquet: versions are out of order"):
        store.read("AAA", MINUTE, as_of=MONDAY).to_arrow()


def test_an_empty_value_in_a_file_is_told(store: ParquetBarStore, minutes: Minutes) -> None:
    store.write(minutes({"AAA": {0: 1.0}}), known_at=MONDAY)
    path = store.root / "1m" / "AAA" / "2024.parquet"
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.set_column(2, "open", pa.array([None], pa.float64())), path)
    with pytest.raises(BarStoreError, match=r"2024\.parquet: .*it has empty values"):
        store.read("AAA", MINUTE).to_arrow()

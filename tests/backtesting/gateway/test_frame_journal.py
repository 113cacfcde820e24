"""The frame journal: written, read, shown, compared and replayed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import ib_insync as ibi
import pytest

from backtesting.gateway import frame_journal
from backtesting.gateway.errors import FrameJournalError
from backtesting.gateway.frame_journal import FrameJournal, FrameRecord, read_frames
from backtesting.gateway.frame_replay import replay
from backtesting.gateway.frame_views import diff, show
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.testing import WireClient, simulated_gateway
from data.bars import BarSeries
from data.calendars import ExchangeClock

Bars = dict[str, BarSeries]
AAA = ibi.Stock("AAA", "SMART", "USD")


@asynccontextmanager
async def recorded(
    bars: Bars, sessions: ExchangeClock, path: Path, limit: int = 1 << 30, keep: int = 4
) -> AsyncIterator[GatewayServer]:
    async with simulated_gateway(bars, sessions=sessions) as server:
        journal = FrameJournal(path, server.service.clock.now_ns, limit=limit, keep=keep)
        journal.start()
        server.service.line.recorder = journal
        try:
            yield server
        finally:
            server.service.line.recorder = None
            await journal.stop()
            await journal.stop()


async def trade(port: int, client_id: int = 7, quantity: int = 10) -> None:
    ib = ibi.IB()
    ib.client.MaxRequests = 0
    await ib.connectAsync("127.0.0.1", port, clientId=client_id, timeout=10)
    await ib.reqCurrentTimeAsync()
    filled = ib.placeOrder(AAA, ibi.MarketOrder("BUY", quantity))
    await ib.reqCurrentTimeAsync()
    assert filled.orderStatus.status == "Filled"
    ib.disconnect()


async def until_idle(server: GatewayServer) -> None:
    async with asyncio.timeout(10):
        while server.service.connections:  # noqa: ASYNC110  the gateway offers no event for it
            await asyncio.sleep(0.001)


async def journal_of(
    bars: Bars, sessions: ExchangeClock, path: Path, quantity: int = 10
) -> list[FrameRecord]:
    async with recorded(bars, sessions, path) as server:
        await trade(server.port, quantity=quantity)
        await until_idle(server)
    return list(read_frames(path))


async def test_every_frame_of_both_directions_is_kept(
    bars: Bars, sessions: ExchangeClock, tmp_path: Path
) -> None:
    records = await journal_of(bars, sessions, tmp_path / "deep" / "frames.jsonl")
    assert [r.direction for r in records[:2]] == ["in", "out"]
    assert records[0].fields[0].startswith("v157..")
    assert records[1].fields[0] == "176"
    assert records[-1].direction == "end"
    sent = [r.number for r in records if r.direction == "in"]
    assert sent[:2] == [0, 71]
    assert 3 in sent
    came = [r.number for r in records if r.direction == "out"]
    assert [number for number in came if number in (11, 59)] == [11, 59]
    assert all(r.version == 176 for r in records[1:])
    assert {r.client_id for r in records} == {None, 7}
    assert sorted(r.time_ns for r in records) == [r.time_ns for r in records]
    text = (tmp_path / "deep" / "frames.jsonl").read_text()
    line = json.loads(text.splitlines()[-2])
    assert set(line) == {"t", "sim", "conn", "client", "from", "dir", "msg_id", "fields", "server_version"}
    assert {(row["from"], row["dir"]) for row in map(json.loads, text.splitlines())} == {
        ("client", "out"),
        ("gateway", "in"),
        ("client", "end"),
    }


async def test_it_is_shown_with_names(bars: Bars, sessions: ExchangeClock, tmp_path: Path) -> None:
    records = await journal_of(bars, sessions, tmp_path / "frames.jsonl")
    lines = list(show(records))
    assert any("client 7 <- orderStatus" in line and "status=Filled filled=10" in line for line in lines)
    assert any("-> placeOrder" in line and "symbol=AAA" in line for line in lines)
    assert lines[-1].endswith("client 7 -- closed")
    assert list(show(records, client=8)) == []
    only = list(show(records, names=["commissionReport"], full=True))
    assert len(only) == 1
    assert "realizedPNL=1.79" in only[0]
    assert len(list(show(records, full=True))) == len(records)


async def test_two_runs_of_the_same_are_equal_and_a_change_is_told(
    bars: Bars, sessions: ExchangeClock, tmp_path: Path
) -> None:
    one = await journal_of(bars, sessions, tmp_path / "one.jsonl")
    same = await journal_of(bars, sessions, tmp_path / "same.jsonl")
    other = await journal_of(bars, sessions, tmp_path / "other.jsonl", quantity=11)
    assert diff(one, same).equal
    assert diff(one, same).lines() == [f"no difference in {len(one)} frames"]
    changed = diff(one, other)
    assert not changed.equal
    assert changed.first.startswith("client 7, order ")
    assert "placeOrder" in changed.first
    assert changed.only_left["orderStatus"] == changed.only_right["orderStatus"] > 0
    missing = diff(one, [r for r in one if r.number != 59])
    assert "nothing" in missing.first
    assert missing.lines()[1] == "only in the first: 1 commissionReport"


def test_times_and_the_gateways_own_numbers_make_no_difference() -> None:
    def record(time_ns: int, perm: str, stamp: str) -> list[FrameRecord]:
        fields = (
            "-1",
            "5",
            *[""] * 11,
            f"0000e0d5.{int(perm):08x}.01.01",
            stamp,
            "DU1",
            "SMART",
            "BOT",
            "1",
            "2",
            perm,
        )
        return [FrameRecord(time_ns, 0, 1, 7, "out", 176, 11, fields)]

    assert diff(record(1, "15", "20180102 09:30:00 US/Eastern"), record(9, "16", "20180103 09:31:00")).equal
    assert not diff(record(1, "15", "20180102 09:30:00"), record(1, "15", "never")).equal


@pytest.mark.parametrize("as_recorded", [False, True])
async def test_a_journal_is_replayed_and_answered_the_same(
    bars: Bars, sessions: ExchangeClock, tmp_path: Path, as_recorded: bool
) -> None:
    records = await journal_of(bars, sessions, tmp_path / "frames.jsonl")
    async with simulated_gateway(bars, sessions=sessions) as server:
        result = await replay(records, "127.0.0.1", server.port, as_recorded=as_recorded)
        assert result.difference.equal, result.difference.first
        await until_idle(server)
    missing = [*records, FrameRecord(records[-1].time_ns, 0, 1, 7, "out", 176, 53, ("1",))]
    async with simulated_gateway(bars, sessions=sessions) as server:
        result = await replay(missing[:-2] + missing[-1:], "127.0.0.1", server.port, patience=0.05)
        assert "openOrderEnd" in result.difference.first
        await until_idle(server)


async def test_what_is_no_text_is_kept_as_bytes(bars: Bars, sessions: ExchangeClock, tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    async with recorded(bars, sessions, path) as server:
        client = await WireClient.connect(server.port)
        client.write(b"\0\0\0\3\xff\xfe\0" + b"\0\0\0\2x\0")
        assert await client.until("4", "2", "-1", "320")
        await client.close()
        await until_idle(server)
    odd = [r for r in read_frames(path) if r.raw is not None]
    assert [r.payload for r in odd] == [b"\xff\xfe\0", b"x\0"]
    assert any("unreadable ff fe 00" in line for line in show(odd))
    assert not diff(odd[:1], odd[1:]).equal


async def test_full_files_are_numbered_and_the_oldest_go(
    bars: Bars, sessions: ExchangeClock, tmp_path: Path
) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_text("older\n")
    async with recorded(bars, sessions, path, limit=1000, keep=2) as server:
        journal = server.service.line.recorder
        assert isinstance(journal, FrameJournal)
        client = await WireClient.connect(server.port)
        for _ in range(4):
            for _ in range(10):
                client.send(17, 1)
            await client.until("15")
            journal.drain()
        await client.close()
        await until_idle(server)
    assert (tmp_path / "frames.jsonl.1").is_file()
    assert not (tmp_path / "frames.jsonl.3").is_file()
    assert "older" not in (tmp_path / "frames.jsonl.2").read_text()


async def test_a_journal_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FrameJournalError, match="choose another file"):
        FrameJournal(tmp_path / "file" / "frames.jsonl", lambda: 0).start()


def test_a_file_that_is_no_journal_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    with pytest.raises(FrameJournalError, match="cannot be read"):
        list(read_frames(path))
    path.write_bytes(b"\xbc\xff no text\n")
    with pytest.raises(FrameJournalError, match="line 1: is no frame"):
        list(read_frames(path))
    path.write_text('{"t": 1}\n')
    with pytest.raises(FrameJournalError, match="line 1: is no frame"):
        list(read_frames(path))
    path.write_text('{"t": 1, "si')
    assert list(read_frames(path)) == []  # cut off while it was written


def test_frames_recorded_elsewhere_are_read_by_who_sent_them(tmp_path: Path) -> None:
    path = tmp_path / "recorded.jsonl"
    path.write_text(
        '{"dir": "in", "msg_id": 9, "fields": ["1", "5"], "server_version": 176, "recorded": true}\n'
        '{"dir": "out", "msg_id": 8, "fields": ["1", "1"], "server_version": null}\n'
        '{"dir": "in", "from": "client", "msg_id": 17, "fields": ["1"], "server_version": 176}\n'
    )
    records = list(read_frames(path))
    assert [r.direction for r in records] == ["out", "in", "in"]
    assert "<- nextValidId" in next(iter(show(records)))


def test_the_recorded_collection_can_be_shown(
    recorded_frames: list[dict[str, object]], tmp_path: Path
) -> None:
    path = tmp_path / "recorded.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in recorded_frames))
    records = list(read_frames(path))
    assert len(list(show(records))) == len(recorded_frames)
    assert diff(records, records).equal


async def test_a_full_disk_ends_the_journal_and_not_the_gateway(
    bars: Bars, sessions: ExchangeClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with recorded(bars, sessions, tmp_path / "frames.jsonl") as server:
        journal = server.service.line.recorder
        assert isinstance(journal, FrameJournal)
        assert journal._file is not None
        journal._file.close()
        journal._file = Path("/dev/full").open("w", encoding="utf-8")  # noqa: ASYNC230, SIM115  the journal closes it
        client = await WireClient.connect(server.port)
        await client.until("4", "2", "-1", "2158")
        journal.drain()
        client.send(17, 1)
        assert (await client.receive())[0] == "15"
        await client.close()
        await until_idle(server)
    said = [record.getMessage() for record in caplog.records]
    assert "ends here (No space left on device)" in said[0]
    assert said[1].endswith("writes")
    assert len(said) == 2


async def test_no_more_waits_than_is_allowed(
    bars: Bars, sessions: ExchangeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_journal, "_DRAIN_SECONDS", 3600)
    monkeypatch.setattr(frame_journal, "_MOST_PENDING_BYTES", 2000)
    async with recorded(bars, sessions, tmp_path / "frames.jsonl") as server:
        journal = server.service.line.recorder
        assert isinstance(journal, FrameJournal)
        client = await WireClient.connect(server.port)
        for _ in range(200):
            client.send(17, 1)
        for _ in range(200):
            await client.until("15")
        assert sum(len(entry[-1]) for entry in journal._pending) == journal._pending_bytes <= 2000
        await client.close()
        await until_idle(server)
    assert len([r for r in read_frames(tmp_path / "frames.jsonl") if r.number == 17]) == 200


async def test_a_link_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("")
    (tmp_path / "frames.jsonl").symlink_to(precious)
    with pytest.raises(FrameJournalError, match="choose another file"):
        FrameJournal(tmp_path / "frames.jsonl", lambda: 0).start()

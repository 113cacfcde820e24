"""Our messages beside those of real gateways: as many fields, each of the same kind.

The recorded frames are used where the collection is at hand. Beside them lies a small file of shapes made
from our own messages, one letter a field, for every version at which one changes, so that a change of shape
is seen without the collection.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import ib_insync as ibi
import pytest

from backtesting.gateway.tickets import Execution, Ticket
from backtesting.gateway.wire import replies
from backtesting.gateway.wire.codec import split
from backtesting.gateway.wire.decode import decode
from execution.models import Instrument, OrderRequest, OrderType, Side

D = Decimal
SHAPES: Final = Path(__file__).with_name("shapes.json")
STOCK = Instrument("AAPL", con_id=265598, primary_exchange="NASDAQ", name="APPLE INC")
FUTURE = Instrument(
    "ESU5",
    "FUT",
    "CME",
    con_id=637533641,
    tick=D("0.25"),
    multiplier=D(50),
    expiry="20250919",
    local_symbol="ESU5",
    trading_class="ES",
    underlying="ES",
)

OPTION = Instrument(
    "AAPL 260618C100",
    "OPT",
    con_id=9,
    multiplier=D(100),
    expiry="20260618",
    strike=D(100),
    right="C",
    local_symbol="AAPL  260618C00100000",
    trading_class="AAPL",
    underlying="AAPL",
)

NOT_SENT: Final = {
    13: "updateMktDepthL2",
    14: "updateNewsBulletin",
    16: "receiveFA",
    18: "bondContractDetails",
    20: "scannerData",
    21: "tickOptionComputation",
    67: "displayGroupList",
    68: "displayGroupUpdated",
    83: "newsArticle",
    86: "historicalNews",
    87: "historicalNewsEnd",
    91: "rerouteMktDataReq",
    92: "rerouteMktDepthReq",
    96: "historicalTicks",
    97: "historicalTicksBidAsk",
    98: "historicalTicksLast",
    99: "tickByTick",
    106: "historicalSchedule",
    108: "historicalDataEnd, from version 196",
    109: "currentTimeInMillis, from version 197",
}
"""What the gateway never sends, because it does not serve the request."""

SENT_BY_OTHERS: Final = {-1: "the handshake", 17: "history: market.bars"}

FREE: Final = {
    5: {18, 22, 36, 113, 131, 132},
    10: {28},
    101: {17, 21, 80, 91},
    11: {25},
}
"""Fields whose kind is another from order to order, by message number and counted after it.

They are the OCA group, the reference, an unused rule's multiplier, rule 80A, the trailing stop, the size to
compete for with its offset, and the parent's permanent id.
"""

LISTS: Final = (75, 77, 78, 79, 85, 93)
"""Messages that count their rows: heads are compared, the number of rows is the sender's own."""

WITHOUT_CONDITIONS: Final = 135
"""Fields of openOrder from version 170 on; conditions are not simulated and come on top."""


def _order(ticket_of: Callable[..., Ticket], kind: str = "LMT", **more: Any) -> Ticket:
    what: Any = ibi.LimitOrder("BUY", 100, 14.61)
    request = OrderRequest("AAPL", D(100), OrderType.LIMIT, Side.BUY, limit_price=D("14.61"))
    if kind == "MKT":
        what = ibi.MarketOrder("BUY", 100, orderRef="ref")
        request = OrderRequest("AAPL", D(100), OrderType.MARKET, Side.BUY)
    return ticket_of(what, request, instrument=STOCK, completed_ns=1_514_990_000_000_000_000, **more)


def _other_order(ticket_of: Callable[..., Ticket], instrument: Instrument, exchange: str) -> Ticket:
    what = ibi.LimitOrder("BUY", 1, 5800.0)
    request = OrderRequest(instrument.symbol, D(1), OrderType.LIMIT, Side.BUY, limit_price=D(5800))
    contract = ibi.Contract(symbol=instrument.underlying, secType=instrument.security_type, exchange=exchange)
    ended = {"completed_ns": 1_514_990_000_000_000_000, "status": "Cancelled"}
    return ticket_of(what, request, instrument=instrument, contract=contract, **ended)


@pytest.fixture
def ours(
    ticket_of: Callable[..., Ticket], execution_of: Callable[..., Execution], version: int
) -> dict[int, list[list[str]]]:
    """What we send at a version, by message number, as fields after the number."""
    tickets = [
        _order(ticket_of),
        _order(ticket_of, "MKT", status="PreSubmitted"),
        _order(ticket_of, status="Filled", commission=D(1), filled=D(100), filled_value=D(1461)),
        _other_order(ticket_of, FUTURE, "CME"),
        _other_order(ticket_of, OPTION, "SMART"),
    ]
    executions = [execution_of(tickets[2]), execution_of(tickets[2], realized_pnl=D("-1.5"))]
    facts = replies.ContractFacts(
        *("h", "l"),
        industry="Technology",
        category="Computers",
        subcategory="Computers",
        security_ids=(("ISIN", "US0378331005"),),
    )
    derived = replies.ContractFacts(
        *("h", "l", "US/Central", 67), ("CME", "QBALGO"), underlying_con_id=5, underlying_type="IND"
    )
    margins = replies.Margins((D(1), D(2), D(3)), (D(1), D(2), D(3)), (D(1), D(-2), D(3)), D("1.0003"))
    ask = tickets[1]
    four = (D("1.5"),) * 4
    messages = [
        *(replies.open_order(version, "DU1", ticket, ticket.status) for ticket in tickets),
        replies.what_if_order(
            *(version, "DU1", ask.order.request, STOCK, ask.wish, margins), client_id=1, perm_id=2
        ),
        *(replies.order_status(ticket, ticket.status) for ticket in tickets),
        *(replies.completed_order(version, "DU1", ticket) for ticket in tickets),
        *(replies.execution_details("DU1", execution, -1, version) for execution in executions),
        *(replies.commission_report(execution) for execution in executions),
        replies.error(version, -1, 2104, "Market data farm connection is OK:usfarm"),
        replies.account_value("DU1", "AccountCode", "DU1", ""),
        replies.account_value("DU1", "Cash", "1.00", "USD"),
        replies.portfolio_value("DU1", STOCK, D(-100), D("291.6"), D("291.2"), D("-35.74"), D("-71.44")),
        replies.account_time("09:30"),
        replies.next_valid_id(1),
        replies.contract_details(version, 9, STOCK, facts=facts),
        replies.contract_details(
            version, 9, FUTURE, facts=dataclasses.replace(derived, last_trade_time="08:30")
        ),
        replies.contract_details(version, 9, OPTION, facts=derived),
        replies.managed_accounts(["DU1"]),
        replies.current_time(1781163646),
        replies.real_time_bar(9, 1678323335, (1.5, 2.0, 1.0, 1.25), 2.0, 1.375, 1),
        replies.contract_details_end(9),
        replies.open_order_end(),
        replies.account_download_end("DU1"),
        replies.execution_details_end(9),
        replies.snapshot_end(9),
        replies.market_data_type(9, 3),
        replies.position("DU1", STOCK, D(-110), D("201.88")),
        replies.position("DU1", FUTURE, D(1), D("315114.75")),
        replies.position_end(),
        replies.account_summary(9, "DU1", "NetLiquidation", "1.00", "USD"),
        replies.account_summary_end(9),
        replies.position_multi(9, "DU1", STOCK, D(1), D("1.5")),
        replies.position_multi_end(9),
        replies.account_update_multi(9, "DU1", "Currency", "USD", "USD"),
        replies.account_update_multi(9, "DU1", "CashBalance", "1.00", "USD"),
        replies.account_update_multi_end(9),
        replies.option_chain(9, "CBOE", 5, "AAPL", D(100), ["20180119"], [D(105)]),
        replies.option_chain_end(9),
        replies.soft_dollar_tiers(9),
        replies.family_codes(),
        replies.symbol_samples(version, 9, [(STOCK, ("OPT",))]),
        replies.tick_request_parameters(9, D("0.01")),
        replies.tick_request_parameters(9, D("0.01"), ""),
        decode(["85"], version).answer,  # type: ignore[union-attr]
        replies.head_timestamp(9, "19801212-14:30:00"),
        replies.market_rule(26, [(D(0), D("0.01"))]),
        replies.pnl(9, D("1.5"), D(2), D(-3)),
        replies.order_bound(9, 1, -1),
        replies.completed_orders_end(),
        replies.user_info(9),
        replies.tick_price(9, 68, four[0], 200),
        replies.tick_size(9, 74, 312894),
        replies.tick_generic(9, 46, 3),
        replies.tick_string(9, 88, "1775174157"),
    ]
    shapes: dict[int, list[list[str]]] = {}
    for data in messages:
        number, *fields = split(data[4:])
        shapes.setdefault(int(number), []).append(fields)
    return shapes


@pytest.mark.parametrize("version", [164, 173, 176])
def test_our_frames_have_the_shape_of_recorded_ones(
    version: int, recorded_frames: list[dict[str, Any]], ours: dict[int, list[list[str]]]
) -> None:
    strangers = []
    for frame in recorded_frames:
        number, theirs = frame["msg_id"], frame["fields"]
        if frame["dir"] != "in" or number in NOT_SENT or number in SENT_BY_OTHERS:
            continue
        if not _same_layout(number, frame["server_version"], version):
            continue
        if not any(_alike(number, theirs, mine) for mine in ours[number]):
            strangers.append((number, frame["server_version"], _differences(theirs, ours[number])))
    assert strangers == [], "\n".join(map(str, strangers))


def test_every_recorded_message_is_ours_or_named_as_not_sent(
    recorded_frames: list[dict[str, Any]], ours: dict[int, list[list[str]]]
) -> None:
    numbers = {frame["msg_id"] for frame in recorded_frames if frame["dir"] == "in"}
    assert numbers - set(NOT_SENT) - set(SENT_BY_OTHERS) <= set(ours)
    assert not set(NOT_SENT) & set(ours)


def test_every_recorded_request_is_decoded(recorded_frames: list[dict[str, Any]]) -> None:
    asked = [frame for frame in recorded_frames if frame["dir"] == "out" and frame["fields"] != ["", ""]]
    assert asked  # a global cancel of two empty fields belongs to versions from 192 on
    for frame in asked:
        decode([str(frame["msg_id"]), *frame["fields"]], 176)


def test_no_message_has_changed_its_shape(ours: dict[int, list[list[str]]], version: int) -> None:
    known = json.loads(SHAPES.read_text(encoding="utf-8"))
    shapes = {str(n): ["".join(map(_letter, fields)) for fields in sent] for n, sent in sorted(ours.items())}
    expected = known[str(max(int(since) for since in known if int(since) <= version))]
    assert shapes == expected, f"if this is meant, write what is sent to {SHAPES.name}"


def _same_layout(number: int, recorded: int | None, version: int) -> bool:
    """Say whether a frame of one version has the layout of another; most have had the same one for years."""
    if number in (5, 10, 11, 101):
        return recorded == version or (recorded is None and version == 176)
    if number == 4:
        return recorded is not None and 166 <= recorded < 194 and version >= 166
    return recorded is None or recorded <= 206


def _alike(number: int, theirs: list[str], mine: list[str]) -> bool:
    if number in LISTS:
        return all(map(_same_kind, theirs[:2], mine[:2]))
    if len(theirs) == len(mine) + 1 and not theirs[-1]:
        theirs = theirs[:-1]  # whoever wrote the frame down closed it twice
    if len(theirs) != len(mine):
        return number == 5 and len(theirs) > WITHOUT_CONDITIONS
    free = FREE.get(number, set())
    return all(
        _same_kind(a, b) or place in free for place, (a, b) in enumerate(zip(theirs, mine, strict=True))
    )


def _differences(theirs: list[str], ours: list[list[str]]) -> list[object]:
    """Return for each of ours where it differs, or how many fields it has too many."""
    return [
        [(i, a, b) for i, (a, b) in enumerate(zip(theirs, mine, strict=True)) if not _same_kind(a, b)]
        if len(mine) == len(theirs)
        else len(mine) - len(theirs)
        for mine in ours
    ]


def _same_kind(theirs: str, mine: str) -> bool:
    return _letter(theirs) == _letter(mine)


def _letter(text: str) -> str:
    """Tell empty (-), unset (u), the words None (o) and ? (q), number (n) and text (t) apart."""
    if text in ("", "None", "?"):
        return {"": "-", "None": "o", "?": "q"}[text]
    if "E308" in text:
        return "u"
    try:
        float(text)
    except ValueError:
        return "t"
    return "n"

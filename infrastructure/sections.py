"""The sections of the settings, and the strict types their values are parsed with.

Values arrive as text. Amounts are `Decimal` and never pass through a float; a text that is only half a
number is refused.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from execution.desk.unfilled_policy import UnfilledAction, UnfilledPolicy
from execution.errors import NumberFormatError
from execution.link.gateway_week import TIME_ZONE, USUAL_WINDOWS, GatewayWeek
from execution.models import OrderType
from execution.numbers import format_decimal, parse_decimal, parse_integer
from execution.orders.codes import read_codes
from execution.reconciliation.claims import ClaimPolicy
from execution.reconciliation.policies import ExpiredDay, Unanswered
from execution.timeframes import Timeframe
from risk.metrics import MINIMUM_RETURNS, MetricsEvery


def read_decimal(value: Any) -> Any:
    """Read an amount from text; pass a Decimal or whole number on; refuse a float."""
    if isinstance(value, str):
        try:
            return parse_decimal(value, name="value")
        except NumberFormatError as error:
            raise ValueError(str(error).removeprefix("value: ")) from error
    if isinstance(value, bool | float):
        raise ValueError(f"{value!r} is not an exact amount; write it as text")  # noqa: TRY004  # for pydantic
    return value


def _integer(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return parse_integer(value, name="value")
        except NumberFormatError as error:
            raise ValueError(str(error).removeprefix("value: ")) from error
    return value


def _seconds(value: Any) -> Any:
    return float(read_decimal(value)) if isinstance(value, str) else value


def _list(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _upper(value: Any) -> Any:
    return value.upper().replace(" ", "_").replace("-", "_") if isinstance(value, str) else value


def _symbols(value: Any) -> Any:
    symbols = _list(value) or ()  # null names none
    for symbol in symbols:
        if not re.fullmatch(r"[A-Z0-9][A-Z0-9 ./-]{0,31}", str(symbol), re.ASCII):
            raise ValueError(f"{symbol!r} is not a symbol; use capital letters, digits, space . / -")
    if len(set(symbols)) != len(symbols):
        raise ValueError("a symbol is named twice")
    return symbols


def _figures(value: Any) -> Any:
    """Check texts such as ``SPY=500``, and spell them plainly."""
    plain: dict[str, str] = {}
    for text in _list(value) or ():
        symbol, sign, figure = str(text).rpartition("=")
        symbol, figure = symbol.strip(), figure.strip()
        if not sign:
            raise ValueError(f"{text!r} is no figure of a symbol; write SYMBOL=NUMBER, such as SPY=500")
        _symbols((*plain, symbol))
        amount = read_decimal(figure)
        if amount <= 0:
            raise ValueError(f"{text!r}: the number must be positive")
        plain[symbol] = f"{symbol}={format_decimal(amount)}"
    return tuple(plain.values())


def _account(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9]{1,32}", value, re.ASCII):
        raise ValueError(f"{value[:40]!r} is not an account; use its letters and digits, such as DU1234567")
    return value


def _timeframe(value: Any) -> Any:
    if isinstance(value, str) and value not in (names := [t.value for t in Timeframe]):
        raise ValueError(f"{value!r} is not offered; use one of {', '.join(names)}")
    return value


Money = Annotated[Decimal, BeforeValidator(read_decimal), Field(ge=0, allow_inf_nan=False)]
Limit = Annotated[Decimal, BeforeValidator(read_decimal), Field(gt=0, allow_inf_nan=False)]
Port = Annotated[int, BeforeValidator(_integer), Field(ge=0, le=65535)]
Count = Annotated[int, BeforeValidator(_integer), Field(ge=0)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=86_400)]
SymbolList = Annotated[tuple[str, ...], BeforeValidator(_symbols)]
Figures = Annotated[tuple[str, ...], BeforeValidator(_figures)]
BarSize = Annotated[Timeframe, BeforeValidator(_timeframe)]


def plain_value(value: Any) -> Any:
    """Read a strategy parameter's text as a whole number, number, truth value or text."""
    if isinstance(value, list):
        return [plain_value(item) for item in value]
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    for parse, kind in ((parse_integer, int), (parse_decimal, float)):
        try:
            return kind(parse(value, name="value"))
        except NumberFormatError:
            continue
    return value


class Section(BaseModel):
    """Base of the sections: immutable, and refuses what it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class IBSettings(Section):
    """The connection to TWS or IB Gateway, for market data and orders alike."""

    host: str = "127.0.0.1"
    port: Port = 7497
    client_id: Count = 1
    timeout_seconds: Seconds = 30.0
    reconnect_max_attempts: Count = 5
    reconnect_backoff_seconds: Seconds = 5.0
    reconnect_longest_pause_seconds: Seconds = 60.0
    client_id_wait_seconds: Seconds = 60.0
    """How long a client id in use (326) is waited for before such tries count."""
    heartbeat_seconds: Seconds = 3.0
    """Silence after which something is asked for."""
    heartbeat_deadline_seconds: Seconds = 5.0
    """Further silence after which the connection is dead."""
    link_alarm_seconds: Seconds = 120.0
    """How long TWS may be without the broker (1100) outside of planned windows before the alarm."""
    week: Annotated[tuple[str, ...], BeforeValidator(_list)] = USUAL_WINDOWS
    """Planned absences of the gateway: ``NAME DAYS HH:MM-HH:MM`` each; an empty list expects none."""
    week_time_zone: str = TIME_ZONE
    code_classes: Annotated[tuple[str, ...], BeforeValidator(_list)] = ()
    """TWS codes that this version does not know or knows otherwise, ``CODE=CLASS`` each."""

    @model_validator(mode="after")
    def _readable(self) -> Self:
        """Refuse windows, a zone or codes that cannot be read."""
        GatewayWeek(self.week, self.week_time_zone)
        read_codes(self.code_classes)
        return self


class DataSettings(Section):
    """Where bars come from and which of them are used."""

    source: Literal["sample", "files", "ib"] = "sample"
    bars: Path | None = None
    """Folder of CSV or Parquet files; null uses the built-in sample."""
    cache_dir: Path = Path("var/cache")
    regular_hours: bool = True
    warmup: Count = 250
    """Bars of history asked for when a paper or live trader starts; the demo replays everything."""
    start: dt.date | None = None
    end: dt.date | None = None
    calendar: str = "XNYS"
    allow_delayed: bool = False
    """Trade on quotes that the broker delays; without it a trader does not start on them."""
    corporate_actions: str | None = None
    """Who knows splits, dividends and new symbols: a file or folder of them, ``yahoo``, ``stored``, or
    ``none`` for the statement that there were none; null nobody."""
    ib: IBSettings = IBSettings()


class BrokerSettings(Section):
    """The account, and what tells paper from live."""

    paper: bool = True
    account: Annotated[str | None, BeforeValidator(_account)] = None
    live_ports: Annotated[tuple[Port, ...], BeforeValidator(_list)] = (7496, 4001)
    live_account_prefix: Annotated[str, Field(min_length=1)] = "U"
    initial_cash: Limit = Decimal(1_000_000)
    readonly: bool = False
    open_orders_at_shutdown: Literal["leave", "cancel-day", "cancel-all"] = "leave"
    """What becomes of open orders when the trader ends."""


class RiskSettings(Section):
    """Limits in account currency and units; null, or an empty list, leaves a rule out."""

    max_gross_exposure: Limit | None = Decimal(100_000)
    per_symbol_notional_cap: Limit | None = Decimal(25_000)
    max_order_quantity: Limit | None = Decimal(10_000)
    max_order_notional: Limit | None = None
    max_daily_loss: Limit | None = Decimal(5_000)
    long_only: bool = True
    max_leverage: Limit | None = None
    """Gross exposure, at worst, in multiples of the equity."""
    max_position_quantity: Limit | None = None
    """Units held of one symbol, long or short, at worst."""
    max_orders_per_minute: Annotated[int, BeforeValidator(_integer), Field(gt=0)] | None = None
    max_order_quantity_by_symbol: Figures = ()
    max_position_quantity_by_symbol: Figures = ()
    """What holds for a symbol in place of what holds for all, as ``SPY=500``."""
    allowed_symbols: SymbolList = ()
    """The only symbols in which positions are opened; an empty list allows all."""
    restricted_symbols: SymbolList = ()
    """Symbols that are not traded at all, not even to close a position."""

    def limits(self) -> dict[str, Any]:
        """Return the fields of `risk.limits.RiskLimits`."""
        by_symbol = ("max_order_quantity_by_symbol", "max_position_quantity_by_symbol")
        pairs = {name: [text.rsplit("=", 1) for text in getattr(self, name)] for name in by_symbol}
        return dict(self) | {
            name: {symbol: Decimal(figure) for symbol, figure in found} for name, found in pairs.items()
        }


class ExecutionSettings(Section):
    """How orders are shaped, what trading costs in a simulation, and how long answers may take."""

    default_order_type: Annotated[OrderType, BeforeValidator(_upper)] = OrderType.MARKET
    slippage_bps: Money = Decimal(1)
    position_notional: Limit = Decimal(25_000)
    """Value of one position; unless set, four fifths of the cap per symbol."""
    limit_offset_bps: Money = Decimal(0)
    commission_fixed: Money = Decimal(0)
    commission_per_share: Money = Decimal("0.005")
    commission_minimum: Money = Decimal(1)
    participation: (
        Annotated[Decimal, BeforeValidator(read_decimal), Field(gt=0, le=1, multiple_of=Decimal("0.000001"))]
        | None
    ) = None
    poll_interval_seconds: Seconds = 1.0
    acknowledgement_timeout_seconds: Seconds = 30.0
    """Unless set, `IBSettings.timeout_seconds`."""
    release_absent_orders: bool = False
    """Release orders proven absent at the broker by themselves instead of waiting for an operator."""
    unfilled_after_seconds: Seconds | None = None
    """Trading time after which an unfilled limit order meets `unfilled_action`; null leaves it. A backtest
    knows no such policy: there orders end by their time in force."""
    unfilled_action: UnfilledAction = UnfilledAction.CANCEL

    reconcile_interval_seconds: Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=86_400)] = 300.0
    """Pause between looks at the broker's books while orders go on; 0 takes none."""
    claim: ClaimPolicy = ClaimPolicy.ADOPT
    """Orders and positions of others in the account: adopt counts them, ignore leaves all but
    `claim_symbols` to them, refuse closes the way while there are any."""
    claim_symbols: SymbolList = ()
    """The symbols that are ours where `claim` is ignore; by default those of the run."""
    expired_day: ExpiredDay = ExpiredDay.SETTLE
    """An order for a day that is over, whose end nobody saw: settle ends it where position and cash show that
    nothing of it was executed, doubt leaves it to a person."""
    unanswered_orders: Unanswered = Unanswered.DOUBT
    """An order of an earlier session that nobody answered and no list names: doubt leaves it to a person,
    cancel sends a cancel of its number, and the answer of TWS decides."""

    @property
    def reconcile_interval(self) -> float | None:
        """Seconds between looks, None for none."""
        return self.reconcile_interval_seconds or None

    @property
    def unfilled(self) -> UnfilledPolicy | None:
        """The policy for limit orders that do not fill."""
        after = self.unfilled_after_seconds
        return None if after is None else UnfilledPolicy(after, self.unfilled_action)


class StrategySettings(Section):
    """The strategy by its registered name, and its parameters."""

    name: str = "ma_crossover"
    params: dict[str, Any] = Field(default_factory=dict)


class DatabaseSettings(Section):
    """Where projections go; null keeps a SQLite file beside the journal."""

    url: SecretStr | None = None


class AuditSettings(Section):
    """The audit trail: when the journal begins a new segment, and where its head is anchored."""

    anchor_dir: Path | None = None
    """Folder of the anchors, best on another volume; null keeps them in a folder beside the journal."""
    anchor_key: SecretStr | None = None
    """Signs the anchors; null uses a key of its own, made once in `var_dir`."""
    anchor_seconds: Seconds = 60.0
    anchor_events: Annotated[Count, Field(ge=1)] = 1_000
    segment_megabytes: Count = 64
    """Size at which a new segment begins; 0 never."""
    segment_daily: bool = True
    """Begin a new segment on each UTC day."""


class LoggingSettings(Section):
    """Form and threshold of log lines."""

    format: Literal["text", "json"] = "text"
    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)] = (
        "INFO"
    )


class MonitoringSettings(Section):
    """Signs of life, and when the risk of the book is put on record."""

    heartbeat_seconds: Seconds = 10.0
    risk_metrics: MetricsEvery = MetricsEvery.SESSION
    """``session``: at each close, ``step``: with each step, ``never``."""
    minimum_returns: Annotated[Count, Field(ge=20)] = MINIMUM_RETURNS
    """Fewest daily returns of every symbol held from which value at risk is estimated."""

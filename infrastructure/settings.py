"""The settings of a run: one model, six layers, and the source of every value.

1. Layers, weakest first: built-in defaults (with the starting values of the profile), the YAML file, the
   profile (what it pins, and the file's ``profiles:`` section), ``.env``, the environment, the command line.
2. Each layer is flattened to dotted keys; a stronger layer replaces single keys. A layer that names another
   strategy drops the parameters that weaker layers gave for the old one.
3. The result is parsed once, strictly: unknown keys, floats for money and half-read numbers are refused with
   one line that names the place and the remedy.

The environment is a parameter; only the command line passes the process's own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from execution.clocks import random_id
from execution.models import OrderType
from execution.numbers import format_decimal
from execution.timeframes import Timeframe
from infrastructure.errors import ConfigError
from infrastructure.layers import (
    OPEN_SECTION,
    Entry,
    Layer,
    environment_layer,
    override_layer,
    read_dotenv,
    read_yaml,
)
from infrastructure.profiles import PROFILE_PINS, PROFILE_START, Profile
from infrastructure.secrets import MASK, REDACTOR, KeyringLookup, keyring_lookup, resolve
from infrastructure.sections import (
    AuditSettings,
    BarSize,
    BrokerSettings,
    DatabaseSettings,
    DataSettings,
    ExecutionSettings,
    LoggingSettings,
    MonitoringSettings,
    RiskSettings,
    Section,
    StrategySettings,
    SymbolList,
    plain_value,
    read_decimal,
)

if TYPE_CHECKING:
    from execution.models import Instrument
    from strategies.spec import RunSpec


class Settings(BaseSettings):
    """Everything that can be configured. Build it with `load_settings`, which knows the layers."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    profile: Profile = "demo"
    run_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    timeframe: BarSize = Timeframe.DAY
    symbols: SymbolList = ()
    """Empty: every symbol that the bars offer."""
    data: DataSettings = DataSettings()
    broker: BrokerSettings = BrokerSettings()
    risk: RiskSettings = RiskSettings()
    execution: ExecutionSettings = ExecutionSettings()
    strategy: StrategySettings = StrategySettings()
    database: DatabaseSettings = DatabaseSettings()
    audit: AuditSettings = AuditSettings()
    logging: LoggingSettings = LoggingSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    runs_dir: Path = Path("runs")
    var_dir: Path = Path("var")

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # pydantic-settings' signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from `load_settings` alone: the stock sources read the process and tell no origin."""
        return (init_settings,)

    @property
    def sources(self) -> dict[str, str]:
        """Dotted key to the place its value came from, for every setting."""
        return dict(self._sources)

    def is_set(self, key: str) -> bool:
        """Whether somebody set the key, rather than a default or the profile's starting values."""
        return not self._sources.get(key, "default").startswith("default")

    def to_run_spec(self, instruments: Iterable[Instrument]) -> RunSpec:
        """Return what decides the outcome of a run, for the given instruments."""
        from risk.limits import RiskLimits  # keeps `trade plan --help` and the like light
        from strategies.spec import CostSpec, RunSpec, SizingSpec

        execution = self.execution
        return RunSpec(
            instruments=tuple(instruments),
            timeframe=self.timeframe,
            strategy=self.strategy.name,
            params=dict(self.strategy.params),
            limits=RiskLimits(**self.risk.limits()),
            costs=CostSpec(
                slippage_bps=execution.slippage_bps,
                commission_fixed=execution.commission_fixed,
                commission_per_share=execution.commission_per_share,
                commission_minimum=execution.commission_minimum,
                participation=execution.participation,
            ),
            sizing=SizingSpec(
                position_notional=execution.position_notional,
                order_type=execution.default_order_type,
                limit_offset_bps=execution.limit_offset_bps,
            ),
            initial_cash=self.broker.initial_cash,
            calendar=self.data.calendar,
        )

    def config_for_hash(self) -> dict[str, Any]:
        """Return what decides the outcome of a run on given bars; the bars have hashes of their own.

        Left out: profile, ids, paths, addresses, timeouts, logging, database.
        """
        values = self.flat(masked=True)
        values["symbols"] = sorted(values["symbols"])
        return {key: values[key] for key in sorted(values) if _decides(key) and not _is_new(key, values[key])}

    def dump(self, *, masked: bool = True) -> dict[str, Any]:
        """Return all settings as nested plain values (Decimals as text), secrets masked unless asked for."""
        return nest(self.flat(masked=masked))

    def flat(self, *, masked: bool = True) -> dict[str, Any]:
        """Return dotted key to plain value, in the order of the model."""
        return dict(_flat(self, "", masked=masked))


_DECIDING = ("timeframe", "symbols", "risk.", "strategy.", "data.regular_hours", "data.start")
_DECIDING_TOO = ("data.end", "data.calendar", "broker.initial_cash", "execution.")
_NOT_DECIDING = frozenset(
    f"execution.{name}"
    for name in ("poll_interval_seconds", "acknowledgement_timeout_seconds", "release_absent_orders")
)


def _decides(key: str) -> bool:
    return key.startswith(_DECIDING + _DECIDING_TOO) and key not in _NOT_DECIDING


_NEW_KEYS = frozenset(
    f"risk.{name}"
    for name in (
        "max_leverage",
        "max_position_quantity",
        "max_orders_per_minute",
        "max_order_quantity_by_symbol",
        "max_position_quantity_by_symbol",
        "allowed_symbols",
        "restricted_symbols",
    )
)
"""Keys that came later: while they say nothing they are left out, so that runs of before keep their hash."""


def _is_new(key: str, value: Any) -> bool:
    return key in _NEW_KEYS and value in (None, [])


def _flat(model: BaseModel, prefix: str, *, masked: bool) -> Iterable[tuple[str, Any]]:
    for name in type(model).model_fields:
        value, key = getattr(model, name), prefix + name
        if isinstance(value, BaseModel):
            yield from _flat(value, key + ".", masked=masked)
        elif key == OPEN_SECTION:
            yield from ((f"{key}.{param}", value[param]) for param in sorted(value))
        else:
            yield key, _plain(value, masked=masked)


def _plain(value: Any, *, masked: bool) -> Any:
    if isinstance(value, SecretStr):
        return MASK if masked else value.get_secret_value()
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, tuple):
        return [_plain(item, masked=masked) for item in value]
    if isinstance(value, Path | dt.date):
        return str(value)
    return value.value if isinstance(value, Timeframe | OrderType) else value


def _known_keys(model: type[BaseModel], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _known_keys(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, field


KNOWN = frozenset(key for key, _ in _known_keys(Settings) if key != OPEN_SECTION)
"""Dotted keys of all settings but the strategy's parameters."""

SECRETS = frozenset(key for key, field in _known_keys(Settings) if "SecretStr" in str(field.annotation))
"""Dotted keys whose values are secrets."""


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted keys into nested dictionaries."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        section = nested
        for name in path:
            section = section.setdefault(name, {})
        section[last] = value
    return nested


def load_settings(
    profile: str | None = None,
    config_path: Path | None = None,
    overrides: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    dotenv_path: Path | None = None,
    *,
    new_id: Callable[[], str] = random_id,
    keyring: KeyringLookup = keyring_lookup,
) -> Settings:
    """Resolve the settings from all layers.

    Parameters
    ----------
    profile
        ``demo``, ``paper`` or ``live``; None takes it from the layers, and without any word of it ``paper``
        if the file asks for ``data.source: ib``, else ``demo``.
    config_path
        YAML file; None uses none.
    overrides
        Dotted key to text, as given on the command line.
    environ
        Environment variables.
    dotenv_path
        ``.env`` file, which may be absent.
    new_id
        Makes the run id if none is given.
    keyring
        Reads secrets given as ``keyring:service/name``.

    Raises
    ------
    ConfigError
        If anything is unknown, malformed or missing: one line with the place and the remedy.
    """
    environ = environ or {}
    dotenv = read_dotenv(dotenv_path)
    base, sections = read_yaml(config_path, KNOWN, {**dotenv, **environ}) if config_path else ({}, {})
    above = [
        environment_layer(dotenv, KNOWN, SECRETS, str(dotenv_path)),
        environment_layer(environ, KNOWN, SECRETS, "environment"),
        override_layer({**(overrides or {}), **({"profile": profile} if profile else {})}, KNOWN),
    ]
    name = _choose_profile(base, above)
    for unknown in sections.keys() - PROFILE_PINS.keys():
        raise ConfigError(f"{config_path}: profiles.{unknown}: no such profile; use demo, paper or live")
    merged: Layer = {}
    start = {key: Entry(value, f"default (profile {name})") for key, value in PROFILE_START[name].items()}
    pins = {key: Entry(value, f"profile {name}") for key, value in PROFILE_PINS[name].items()}
    for layer in (start, base, pins, sections.get(name, {}), *above):
        _overlay(merged, layer)
    merged["profile"] = Entry(name, merged["profile"].source if "profile" in merged else "default")
    if merged.get("run_id", Entry(None, "")).value is None:
        merged["run_id"] = Entry(new_id(), "default (fresh)")
    _derive(merged)
    _resolve_secrets(merged, keyring)
    return _parse(merged)


def _choose_profile(base: Layer, above: list[Layer]) -> str:
    name: Any = None
    for layer in (base, *above):
        if "profile" in layer:
            name, source = layer["profile"].value, layer["profile"].source
            if name not in PROFILE_PINS:
                raise ConfigError(f"{source}: profile: {name!r} is none; use demo, paper or live")
    if name is None:
        asked = base.get("data.source")
        name = "paper" if asked is not None and asked.value == "ib" else "demo"
    return str(name)


def _overlay(merged: Layer, layer: Layer) -> None:
    named = layer.get("strategy.name")
    if named is not None and named.value != merged.get("strategy.name", Entry("ma_crossover", "")).value:
        for key in [key for key in merged if key.startswith(OPEN_SECTION + ".")]:
            del merged[key]
    merged.update(layer)


def _derive(merged: Layer) -> None:
    """Fill in what follows from other settings unless somebody set it."""
    if "data.bars" in merged and merged["data.bars"].value is not None:
        if merged.get("symbols", Entry((), "default")).source.startswith("default"):
            merged["symbols"] = Entry([], "default (all that the bars offer)")
        if "data.source" not in merged or merged["data.source"].source.startswith("default"):
            merged["data.source"] = Entry("files", "default (data.bars is set)")
    cap = merged.get("risk.per_symbol_notional_cap", Entry("25000", ""))
    if "execution.position_notional" not in merged and cap.value is not None:
        try:
            size = read_decimal(cap.value) * Decimal("0.8")
        except (ValueError, TypeError):
            return  # the cap itself is at fault and is named when it is parsed
        source = "default (80 % of risk.per_symbol_notional_cap)"
        merged["execution.position_notional"] = Entry(format_decimal(size), source)
    timeout = merged.get("data.ib.timeout_seconds")
    if timeout is not None and "execution.acknowledgement_timeout_seconds" not in merged:
        source = "default (data.ib.timeout_seconds)"
        merged["execution.acknowledgement_timeout_seconds"] = Entry(timeout.value, source)


def _resolve_secrets(merged: Layer, keyring: KeyringLookup) -> None:
    for key in SECRETS & merged.keys():
        entry = merged[key]
        if isinstance(entry.value, str):
            secret = resolve(entry.value, key, keyring)
            REDACTOR.register(secret)
            merged[key] = Entry(secret, entry.source)


def _parse(merged: Layer) -> Settings:
    values = {
        key: plain_value(entry.value) if key.startswith(OPEN_SECTION + ".") else entry.value
        for key, entry in merged.items()
    }
    try:
        settings = Settings(**nest(values))
    except ValidationError as error:
        raise ConfigError(_explain(error, merged)) from None
    settings._sources.update(dict.fromkeys(settings.flat(), "default"))
    settings._sources.update({key: merged[key].source for key in settings.flat() if key in merged})
    _check_together(settings)
    return settings


def _explain(error: ValidationError, merged: Layer) -> str:
    errors = error.errors(include_url=False)
    first = errors[0]
    parts = [str(part) for part in first["loc"]]
    key = ".".join(parts)
    while len(parts) > 1 and key not in merged and key not in KNOWN:
        key = ".".join(parts[: len(parts) - 1])
        parts.pop()
    source = merged[key].source if key in merged else "default"
    said = first["msg"].removeprefix("Value error, ")
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    shown = "" if key in SECRETS or first["type"] == "value_error" else f"{str(first['input'])[:60]!r}: "
    return f"{source}: {key}: {shown}{said}{more}"


def _check_together(settings: Settings) -> None:
    def place(key: str) -> str:
        return f"{settings.sources[key]}: {key}"

    data, cap = settings.data, settings.risk.per_symbol_notional_cap
    if data.start and data.end and data.start > data.end:
        raise ConfigError(f"{place('data.start')} {data.start} lies after data.end {data.end}; exchange them")
    if cap is not None and settings.execution.position_notional > cap:
        raise ConfigError(
            f"{place('execution.position_notional')} is above risk.per_symbol_notional_cap "
            f"({format_decimal(cap)}): every order would be refused; lower one or raise the other"
        )
    if settings.broker.paper == (settings.profile == "live"):
        raise ConfigError(
            f"{place('broker.paper')} contradicts profile {settings.profile}; leave it to the profile"
        )

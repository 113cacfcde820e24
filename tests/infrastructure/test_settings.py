from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.models import Instrument, OrderType
from infrastructure.errors import ConfigError
from infrastructure.layers import variable_of
from infrastructure.settings import KNOWN, load_settings

SEED = """run_id: ${RUN_ID}
timeframe: "1D"  # or "1m"
symbols: ["SPY", "QQQ"]
data:
  source: "ib"
  cache_dir: "./data/cache"
  ib:
    host: "127.0.0.1"
    port: 7497
    client_id: 42
broker:
  paper: true
risk:
  max_gross_exposure: 100000
  per_symbol_notional_cap: 25000
execution:
  default_order_type: "limit"
  slippage_bps: 1
strategy:
  name: "ma_crossover"
  params:
    fast: 20
    slow: 50
"""


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write_file(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def test_without_any_file_the_demo_is_configured() -> None:
    settings = load_settings()
    assert settings.profile == "demo"
    assert settings.symbols == ("COMPSIM", "SPXSIM")
    assert settings.execution.release_absent_orders
    assert settings.execution.position_notional == Decimal(100_000)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-.*", settings.run_id)


def test_the_planned_configuration_layout_loads_as_it_is(write: Any) -> None:
    settings = load_settings(config_path=write(SEED))
    assert settings.profile == "paper"
    assert settings.data.ib.client_id == 42
    assert settings.execution.default_order_type is OrderType.LIMIT
    assert settings.strategy.params == {"fast": 20, "slow": 50}
    assert settings.sources["risk.max_gross_exposure"].endswith("config.yaml:14")


@pytest.mark.parametrize("profile", ["demo", "paper", "live"])
def test_the_planned_layout_loads_under_every_profile(write: Any, profile: Any) -> None:
    settings = load_settings(profile, write(SEED))
    assert settings.broker.paper == (profile != "live")


def test_the_example_files_load_and_name_every_setting(root: Path) -> None:
    settings = load_settings(config_path=root / "config.example.yaml", dotenv_path=root / ".env.example")
    named = {key for key, source in settings.sources.items() if not source.startswith("default")}
    assert KNOWN - named == {"run_id", "profile"}


def test_each_layer_overrides_the_one_below(write: Any, tmp_path: Path) -> None:
    path = write("logging: {level: debug}\nprofiles:\n  demo:\n    logging: {level: info}\n")
    dotenv = tmp_path / ".env"
    dotenv.write_text("ALPHEC_LOGGING__LEVEL=warning\n")
    env = {"ALPHEC_LOGGING__LEVEL": "error"}
    steps = [
        ({}, "INFO", "default"),
        ({"config_path": write("logging: {level: debug}\n")}, "DEBUG", "config.yaml:1"),
        ({"dotenv_path": dotenv}, "WARNING", ".env ALPHEC_LOGGING__LEVEL"),
        ({"dotenv_path": dotenv, "environ": env}, "ERROR", "environment ALPHEC_LOGGING__LEVEL"),
        ({"environ": env, "overrides": {"logging.level": "critical"}}, "CRITICAL", "command line"),
    ]
    for arguments, level, source in steps:
        settings = load_settings(**arguments)
        assert settings.logging.level == level
        assert settings.sources["logging.level"].endswith(source)
    path = write("logging: {level: debug}\nprofiles:\n  demo:\n    logging: {level: error}\n")
    settings = load_settings(config_path=path)
    assert settings.logging.level == "ERROR"
    assert "profile demo in" in settings.sources["logging.level"]


def test_the_variables_of_the_execution_library_hold() -> None:
    environ = {
        "IBKR_HOST": "gateway",
        "IBKR_PORT": "4002",
        "IBKR_CLIENT_ID": "7",
        "IBKR_READONLY": "true",
        "IBKR_TIMEOUT_SECONDS": "12.5",
        "IBKR_RECONNECT_MAX_ATTEMPTS": "9",
        "IBKR_RECONNECT_BACKOFF_SECONDS": "2",
    }
    settings = load_settings(environ=environ)
    ib = settings.data.ib
    assert (ib.host, ib.port, ib.client_id, ib.timeout_seconds) == ("gateway", 4002, 7, 12.5)
    assert (ib.reconnect_max_attempts, ib.reconnect_backoff_seconds) == (9, 2.0)
    assert settings.broker.readonly
    assert settings.execution.acknowledgement_timeout_seconds == 12.5
    assert load_settings(environ={**environ, "ALPHEC_DATA__IB__PORT": "4444"}).data.ib.port == 4444


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load_settings(environ={"ALPHEC_RISK__MAX_DAILY_LOSS": "", "IBKR_PORT": ""}).data.ib.port == 7497


def test_references_are_taken_from_the_environment_before_dotenv(write: Any, tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("WHERE=dotenv\nRUN_ID=from-dotenv\n")
    path = write("run_id: ${RUN_ID}\ndata: {ib: {host: '${WHERE}'}, corporate_actions: '$$${X:-9}'}\n")
    settings = load_settings(config_path=path, environ={"WHERE": "env"}, dotenv_path=dotenv)
    data = settings.data
    assert (settings.run_id, data.ib.host, data.corporate_actions) == ("from-dotenv", "env", "$9")


@pytest.mark.parametrize("account", ["DU 1", "../DU1", "DU1:5:margin"])
def test_a_bad_account_is_reported_by_the_name_of_its_setting(account: str) -> None:
    with pytest.raises(ConfigError, match=r"broker\.account.*is not an account; use its letters and digits"):
        load_settings(overrides={"broker.account": account})


def test_naming_another_strategy_drops_the_parameters_of_the_old_one(write: Any) -> None:
    settings = load_settings(config_path=write(SEED), overrides={"strategy.name": "momentum"})
    assert settings.strategy.params == {}
    same = load_settings(config_path=write(SEED), overrides={"strategy.params.fast": "5"})
    assert same.strategy.params == {"fast": 5, "slow": 50}


def test_a_folder_of_bars_brings_its_own_symbols() -> None:
    settings = load_settings(overrides={"data.bars": "bars"})
    assert (settings.data.source, settings.symbols, settings.is_set("symbols")) == ("files", (), False)
    assert load_settings(overrides={"data.bars": "bars", "symbols": "SPY"}).symbols == ("SPY",)
    assert load_settings(overrides={"symbols": ""}).symbols == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "risk:\n  max_gros_exposure: 1\n",
            "config.yaml:2: unknown key 'risk.max_gros_exposure'; did you mean",
        ),
        ("risk: 5\n", "config.yaml:1: risk must be a section"),
        ("symbols: [SPY\ntimeframe: 1D\n", "config.yaml:2: not valid YAML"),
        ("timeframe: 1D\ntimeframe: 1h\n", "config.yaml:2: timeframe has 'timeframe' twice"),
        ("data: {ib: {host: '${NOWHERE}'}}\n", "the variable NOWHERE is not defined"),
        ("data: {ib: {host: '${no-name}'}}\n", "write $$ for a plain dollar sign"),
        ("- 1\n", "expected keys"),
        ("timeframe: !!python/name:os.system x\n", "is not allowed"),
        ("symbols: [[SPY]]\n", "a list may hold plain values only"),
        ("a: &a\n  b: *a\n", "nested too deeply"),
        ("profile: prod\n", "'prod' is none; use demo, paper or live"),
        ("profiles: {prod: {timeframe: 1D}}\n", "profiles.prod: no such profile"),
        ("risk: {max_daily_loss: 1e5}\n", "config.yaml:1: risk.max_daily_loss: '1e5' is not a plain decimal"),
        ("risk: {max_daily_loss: 1_000}\n", "is not a plain decimal"),
        ("risk: {max_daily_loss: .inf}\n", "is not a plain decimal"),
        ("risk: {max_daily_loss: 0}\n", "greater than 0"),
        ("data: {ib: {port: 010}}\n", "'010' is not a whole number"),
        ("data: {ib: {port: 70000}}\n", "less than or equal to 65535"),
        ("symbols: [SPY, SPY]\n", "named twice"),
        ("symbols: spy\n", "'spy' is not a symbol"),
        ("timeframe: 2D\n", "use one of 1D, 1h, 1m"),
        ("execution: {position_notional: 900000}\n", "every order would be refused"),
        ("data: {start: 2020-01-02, end: 2020-01-01}\n", "lies after data.end"),
        ("run_id: ../up\n", "run_id"),
        ("profiles: {demo: {broker: {paper: false}}}\n", "contradicts profile demo"),
        ("execution: {participation: 2}\n", "less than or equal to 1"),
    ],
)
def test_bad_configuration_is_refused_in_one_line_that_names_the_place(
    write: Any, text: Any, said: Any
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(config_path=write(text))
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert "config.yaml" in message


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"config_path": Path("nowhere.yaml")}, "nowhere.yaml: no such configuration file"),
        ({"overrides": {"risk.long_ony": "1"}}, "did you mean 'risk.long_only'"),
        ({"environ": {"ALPHEC_RISK__LONG_ONY": "1"}}, "did you mean 'ALPHEC_RISK__LONG_ONLY'"),
        ({"environ": {"ALPHEC_BROKER__PAPER": "true"}, "profile": "live"}, "contradicts profile live"),
        ({"environ": {"ALPHEC_DATABASE__URL": "a", "ALPHEC_DATABASE__URL_FILE": "b"}}, "keep one of the two"),
    ],
)
def test_bad_options_and_variables_are_refused(arguments: Any, said: Any) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_settings(**arguments)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        load_settings(config_path=path)
    path.write_bytes(b"A=\xff\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(dotenv_path=path)


def test_secrets_are_read_from_files_and_keyring_and_masked(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("sqlite:///hidden-file\n")
    settings = load_settings(environ={"ALPHEC_DATABASE__URL_FILE": str(secret)})
    assert settings.database.url is not None
    assert settings.database.url.get_secret_value() == "sqlite:///hidden-file"
    assert "hidden-file" not in f"{settings!r} {settings.dump()}"
    assert settings.dump(masked=False)["database"]["url"] == "sqlite:///hidden-file"
    ring = load_settings(
        overrides={"database.url": "keyring:fund/db"},
        keyring=lambda service, name: f"{service}-{name}-secret",
    )
    assert ring.database.url is not None
    assert ring.database.url.get_secret_value() == "fund-db-secret"


def test_the_hashed_configuration_holds_what_decides_and_nothing_else() -> None:
    plain = load_settings().config_for_hash()
    elsewhere = load_settings(
        overrides={
            "runs_dir": "x",
            "data.ib.port": "1",
            "logging.level": "debug",
            "run_id": "a",
            "database.url": "abcd",
        }
    )
    assert elsewhere.config_for_hash() == plain
    assert load_settings(overrides={"risk.long_only": "false"}).config_for_hash() != plain
    assert load_settings(overrides={"symbols": "SPXSIM,COMPSIM"}).config_for_hash() == plain


def test_the_run_specification_carries_limits_costs_and_sizing() -> None:
    settings = load_settings(
        overrides={"execution.default_order_type": "limit", "execution.slippage_bps": "2.5"}
    )
    spec = settings.to_run_spec([Instrument("SPXSIM")])
    assert spec.symbols == ("SPXSIM",)
    assert spec.limits.max_daily_loss == Decimal(150_000)
    assert spec.costs.slippage_bps == Decimal("2.5")
    assert spec.sizing.order_type is OrderType.LIMIT
    assert spec.sizing.position_notional == Decimal(100_000)


def test_limits_of_single_symbols_are_read_from_text() -> None:
    plain = load_settings()
    settings = load_settings(
        environ={
            "ALPHEC_RISK__MAX_ORDER_QUANTITY_BY_SYMBOL": "SPY=500, BRK B=7.50",
            "ALPHEC_RISK__RESTRICTED_SYMBOLS": "GME,AMC",
            "ALPHEC_RISK__MAX_LEVERAGE": "1.5",
            "ALPHEC_RISK__MAX_ORDERS_PER_MINUTE": "30",
        }
    )
    limits = settings.to_run_spec([Instrument("SPXSIM")]).limits
    assert limits.max_order_quantity_by_symbol == {"SPY": Decimal(500), "BRK B": Decimal("7.5")}
    assert settings.flat()["risk.max_order_quantity_by_symbol"] == ["SPY=500", "BRK B=7.5"]
    assert (limits.max_leverage, limits.max_orders_per_minute) == (Decimal("1.5"), 30)
    assert limits.restricted_symbols == ("GME", "AMC")
    assert settings.config_for_hash() != plain.config_for_hash()
    assert "risk.max_leverage" not in plain.config_for_hash()  # runs of before it was there keep their hash


@pytest.mark.parametrize("text", ["SPY", "SPY=", "=5", "SPY=-1", "SPY=0", "SPY=1e3", "SPY=1,SPY=2", "spy=1"])
def test_a_figure_of_a_symbol_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="max_position_quantity_by_symbol"):
        load_settings(overrides={"risk.max_position_quantity_by_symbol": text})


@given(st.decimals(min_value="0.01", max_value=10**12, places=2))
def test_amounts_survive_the_way_through_text_exactly(amount: Any) -> None:
    settings = load_settings(environ={"ALPHEC_BROKER__INITIAL_CASH": format(amount, "f")}, new_id=lambda: "a")
    assert settings.broker.initial_cash == amount


def test_every_setting_has_a_variable_and_null_unsets_a_limit() -> None:
    assert variable_of("data.ib.port") == "ALPHEC_DATA__IB__PORT"
    assert load_settings(environ={"ALPHEC_RISK__MAX_DAILY_LOSS": "null"}).risk.max_daily_loss is None
    params = load_settings(environ={"ALPHEC_STRATEGY__PARAMS__FAST": "7"}).strategy.params
    assert params == {"fast": 7, "slow": 50}

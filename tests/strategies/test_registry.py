from __future__ import annotations

import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

import strategies
from execution.book.ledger import Ledger
from execution.book.portfolio import LedgerPortfolio
from execution.models import Bar
from strategies import registry
from strategies.base import Proposal, Strategy, StrategyContext
from strategies.errors import (
    DuplicateNameError,
    StrategyModuleError,
    StrategyParamsError,
    UnknownIndicatorError,
    UnknownStrategyError,
)
from strategies.indicators import SMA
from strategies.ma_crossover import MACrossover, MACrossoverParams
from strategies.sizing import OrderFactory
from strategies.spec import SizingSpec

THIRD_PARTY = """
from strategies.base import Strategy
from strategies.registry import indicator, strategy

@strategy("house_special")
class HouseSpecial(Strategy):
    def on_bar(self, bar):
        return None

@indicator("house_index")
class HouseIndex:
    pass
"""


@pytest.fixture
def context() -> StrategyContext:
    return StrategyContext(LedgerPortfolio(Ledger(cash=Decimal(1))), OrderFactory(SizingSpec(), {}))


@pytest.fixture
def other_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that adds to the strategies namespace; what it registers is forgotten afterwards."""
    registry.strategy_names()
    folder = tmp_path / "strategies"
    folder.mkdir()
    monkeypatch.setattr(registry, "_strategies", dict(registry._strategies))
    monkeypatch.setattr(registry, "_indicators", dict(registry._indicators))
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert str(folder) in list(strategies.__path__)
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith("strategies."):
            del sys.modules[name]


def test_the_registry_lists_the_built_in_strategies_and_indicators() -> None:
    assert {"ma_crossover", "momentum"} <= set(registry.strategy_names())
    assert {"atr", "ema", "roc", "sma"} <= set(registry.indicator_names())
    assert registry.strategy_names() == sorted(registry.strategy_names())


def test_a_strategy_is_built_with_its_parameters_and_knows_its_name(context: StrategyContext) -> None:
    built = registry.create("ma_crossover", {"fast": 3, "slow": 5}, context)
    assert isinstance(built, MACrossover)
    assert built.params == MACrossoverParams(fast=3, slow=5)
    assert built.name == "ma_crossover"
    assert registry.create("ma_crossover", {}, context).params == MACrossoverParams(fast=20, slow=50)


def test_an_indicator_is_found_by_name() -> None:
    assert registry.indicator_class("sma") is SMA


def test_an_unknown_strategy_is_refused_with_the_nearest_name_and_the_list(context: StrategyContext) -> None:
    with pytest.raises(
        UnknownStrategyError, match=r"'momentun': did you mean 'momentum'\? known: .*ma_cross"
    ):
        registry.create("momentun", {}, context)
    with pytest.raises(UnknownStrategyError) as caught:
        registry.create("zzz", {}, context)
    assert "did you mean" not in str(caught.value)


def test_an_unknown_indicator_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownIndicatorError, match="did you mean 'sma'"):
        registry.indicator_class("smaa")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"fast": 0}, "params.fast = 0: input should be greater than or equal to 1"),
        ({"fast": "many"}, "params.fast = 'many': input should be a valid integer"),
        ({"fsat": 5}, "params.fsat is not a parameter: did you mean 'fast'? known: fast, slow"),
        ({"zzz": 5}, "params.zzz is not a parameter: known: fast, slow"),
        ({"fast": 50}, "params: fast = 50 must be less than slow = 50"),
    ],
)
def test_wrong_parameters_are_refused_in_one_line_with_key_value_and_remedy(
    context: StrategyContext, params: dict[str, object], message: str
) -> None:
    with pytest.raises(StrategyParamsError) as caught:
        registry.create("ma_crossover", params, context)
    text = str(caught.value)
    assert text.startswith("strategy 'ma_crossover': ")
    assert message in text
    assert "\n" not in text


def test_every_wrong_parameter_is_named_at_once(context: StrategyContext) -> None:
    with pytest.raises(StrategyParamsError, match=r"params\.fast = 0.*; params\.slow = 'x'"):
        registry.create("ma_crossover", {"fast": 0, "slow": "x"}, context)


def test_a_name_that_is_taken_is_refused() -> None:
    class Impostor(Strategy):
        def on_bar(self, bar: Bar) -> Proposal:
            return None

    with pytest.raises(DuplicateNameError, match=r"taken by strategies\.momentum\.Momentum"):
        registry.strategy("momentum")(Impostor)
    with pytest.raises(DuplicateNameError, match="indicator 'sma'"):
        registry.indicator("sma")(Impostor)


def test_a_class_that_is_defined_anew_takes_its_own_place() -> None:
    assert registry.strategy("ma_crossover")(MACrossover) is MACrossover


def test_a_module_of_another_repository_joins_the_namespace(
    other_repository: Path, context: StrategyContext
) -> None:
    (other_repository / "house.py").write_text(THIRD_PARTY)
    assert registry.create("house_special", {}, context).name == "house_special"
    assert "house_index" in registry.indicator_names()


def test_a_module_that_cannot_be_imported_is_named_and_keeps_no_built_in_from_running(
    other_repository: Path, context: StrategyContext
) -> None:
    (other_repository / "broken.py").write_text("import a_module_nobody_has\n")
    with pytest.raises(
        StrategyModuleError, match=r"strategies\.broken cannot be imported \(ModuleNotFoundError"
    ):
        registry.strategy_names()
    with pytest.raises(StrategyModuleError, match=r"strategies\.broken"):
        registry.create("house_special", {}, context)
    assert registry.create("momentum", {}, context).name == "momentum"


def test_a_module_that_takes_a_built_in_name_is_refused(other_repository: Path) -> None:
    (other_repository / "rival.py").write_text(THIRD_PARTY.replace("house_special", "momentum"))
    with pytest.raises(StrategyModuleError, match=r"strategies\.rival .*'momentum'.* is taken"):
        registry.strategy_names()

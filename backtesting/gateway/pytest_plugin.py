"""Fixtures for whoever tests a trading program: a gateway to connect to, its bars and its configuration.

Put ``pytest_plugins = ["backtesting.gateway.pytest_plugin"]`` into the top ``conftest.py``. A test that
takes `simulated_ib` has a gateway of its own to connect to. Redefine `simulated_ib_bars` or
`simulated_ib_config` in a ``conftest.py`` or a test module to serve something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.testing import GatewayThread
from data.bars import BarSeries
from data.samples import sample_bars


@pytest.fixture(scope="session")
def simulated_ib_bars() -> Mapping[str, BarSeries]:
    """Bars by symbol: twenty years of daily bars of COMPSIM and SPXSIM, unless redefined."""
    return sample_bars()


@pytest.fixture
def simulated_ib_config() -> GatewayConfig:
    """Return how the gateway is run: a running market whose time stands until `step`, unless redefined."""
    return GatewayConfig(speed="1", paused=True)


@pytest.fixture
def simulated_ib(
    simulated_ib_bars: Mapping[str, BarSeries], simulated_ib_config: GatewayConfig
) -> Iterator[GatewayThread]:
    """Run a gateway in a thread; connect to its `host` and `port`, and let bars pass with `step`."""
    with GatewayThread(simulated_ib_bars, config=simulated_ib_config) as gateway:
        yield gateway

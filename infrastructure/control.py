"""The running trader's control socket; `infrastructure.control_client` asks it.

A Unix socket in a short runtime folder of the user, mode 0600; the peer's uid is checked where the system
tells it. One request and one answer a connection, each a line of JSON. Nobody but the trader itself writes
its journal: orders placed here take the same way as the strategy's.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from execution import local_socket
from execution.errors import ExecutionError
from execution.models import Order, OrderType
from execution.numbers import format_decimal, parse_decimal
from infrastructure.control_client import ControlClient, socket_path
from infrastructure.errors import ConfigError
from infrastructure.order_fields import read_request
from infrastructure.settings import Settings
from infrastructure.settling import Settling
from monitoring.counters import Counters
from strategies.trader import Trader

__all__ = ["ControlClient", "ControlServer", "socket_path"]

_LIMIT = 64 * 1024


class ControlServer:
    """Answers commands for a running trader while its block runs; `beyond` tells what else its status is."""

    def __init__(
        self,
        trader: Trader,
        settings: Settings,
        counters: Counters,
        beyond: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._trader = trader
        self._settings = settings
        self._counters = counters
        self._beyond = beyond
        self._settling = Settling(trader)
        self._path = socket_path(settings)
        self._server: asyncio.Server | None = None
        self._log = structlog.get_logger("control")

    async def __aenter__(self) -> Self:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_private(self._path.parent)
        if local_socket.answers(self._path):
            self._log.warning("another trader of this profile has the control socket", path=str(self._path))
            return self
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, path=self._path, limit=_LIMIT)
        self._path.chmod(0o600)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not local_socket.same_user(writer.get_extra_info("socket")):
                self._log.warning("control request from another user refused")
                return
            line = await asyncio.wait_for(reader.readline(), local_socket.TIMEOUT)
            writer.write(json.dumps(await self._answer(line), default=str).encode() + b"\n")
            await writer.drain()
        except (TimeoutError, ConnectionError, ValueError) as error:
            self._log.warning("control request dropped", why=str(error))
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            command, arguments = str(request.pop("command")), dict(request)
            method = getattr(self, f"_do_{command}", None) or self._settling.commands.get(command)
            if method is None:
                return {"error": f"command {command!r} is not known", "code": "UNKNOWN_COMMAND"}
            answer: dict[str, Any] = await method(**arguments)
        except ExecutionError as error:
            return {"error": str(error), "code": error.code}
        except (TypeError, KeyError, ValueError, AttributeError, RecursionError) as error:
            return {"error": f"the request is malformed: {error}", "code": "BAD_REQUEST"}
        return answer

    async def _do_status(self) -> dict[str, Any]:
        trader = self._trader
        snapshot = self._counters.snapshot
        return {
            "profile": self._settings.profile,
            "run_id": self._settings.run_id,
            "pid": os.getpid(),
            "connected": trader.executor.manager.is_connected(),
            "ready": trader.executor.is_ready,
            "halted": trader.orchestrator.halted,
            "gate": trader.executor.gate_state.value,
            "waits_for": trader.orchestrator.waits_for,
            "last_bar": None if self._counters.last_bar is None else str(self._counters.last_bar),
            "equity": None if snapshot is None else format_decimal(snapshot.equity),
            **self._counters.as_dict(),
            "alerts": [alert.as_dict() for alert in self._counters.alerts],
            **self._beyond(),
        }

    async def _do_stop(self) -> dict[str, Any]:
        self._trader.stop()
        return {"stopping": True, "run_id": self._settings.run_id}

    async def _do_orders(self) -> dict[str, Any]:
        return {"orders": [_order(order) for order in self._trader.executor.orders()]}

    async def _do_positions(self) -> dict[str, Any]:
        positions = await self._trader.executor.get_positions()
        booked = self._trader.executor.booked_positions()
        return {
            "positions": [
                {
                    "symbol": p.symbol,
                    "quantity": format_decimal(p.quantity),
                    "journal": format_decimal(booked.get(p.symbol, Decimal(0))),
                    "average_cost": format_decimal(p.average_cost),
                    "account": p.account,
                }
                for p in positions
            ]
        }

    async def _do_place(self, **fields: Any) -> dict[str, Any]:
        return _order(self._trader.executor.submit(read_request(fields)))

    async def _do_bracket(
        self, entry: dict[str, Any], take_profit: dict[str, Any], stop_loss: dict[str, Any]
    ) -> dict[str, Any]:
        legs = [read_request(fields) for fields in (entry, take_profit, stop_loss)]
        return {"orders": [_order(order) for order in self._trader.executor.bracket(*legs)]}

    async def _do_what_if(self, **fields: Any) -> dict[str, Any]:
        impact = asdict(await self._trader.executor.what_if(read_request(fields)))
        return {
            name: format_decimal(figure) if isinstance(figure, Decimal) else figure
            for name, figure in impact.items()
        }

    async def _do_cancel(self, order: str) -> dict[str, Any]:
        await self._trader.executor.cancel_order(order)
        return _order(await self._trader.executor.get_order_status(order))

    async def _do_modify(self, order: str, **fields: Any) -> dict[str, Any]:
        changes = {
            name: parse_decimal(fields.pop(name), name=name)
            for name in ("quantity", "limit_price", "stop_price", "trail_amount")
            if fields.get(name) is not None
        }
        kind = fields.pop("order_type", None)
        if any(value is not None for value in fields.values()):
            raise ValueError(f"{', '.join(sorted(fields))}: not a term that can be changed")
        order_type = None if kind is None else OrderType(kind)
        return _order(await self._trader.executor.modify_order(order, **changes, order_type=order_type))

    async def _do_cancel_all(self) -> dict[str, Any]:
        open_before = await self._trader.executor.get_open_orders()
        left = await self._trader.executor.cancel_all()
        return {"asked": len(open_before), "not_confirmed": left}

    async def _do_flatten(self) -> dict[str, Any]:
        done = await self._trader.executor.flatten()
        return {
            "complete": done.is_complete,
            "cancelled": done.cancelled,
            "closing": [_order(order) for order in done.closing],
            "left": done.left,
            "others": done.others,
        }


def _order(order: Order) -> dict[str, Any]:
    return {
        "client_order_id": order.client_order_id,
        "order_id": order.order_id,
        "symbol": order.symbol,
        "side": order.side.value,
        "order_type": order.order_type.value,
        "quantity": format_decimal(order.quantity),
        "limit_price": None if order.limit_price is None else format_decimal(order.limit_price),
        "stop_price": None if order.stop_price is None else format_decimal(order.stop_price),
        "status": order.status.value,
        "filled": format_decimal(order.filled_quantity),
        "reason": order.reason,
    }


def _require_private(folder: Path) -> None:
    """Refuse a folder that others could have made or could write to."""
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise ConfigError(
            f"{folder} must be a folder of yours that nobody else may enter (chmod 700); remove it, or set "
            "XDG_RUNTIME_DIR"
        )

"""The control interface: what a person or a test does to a running gateway, beside its clients.

`GatewayControl` is the Python face; `control_socket` offers the same to other processes.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from backtesting.gateway.errors import ControlError
from backtesting.gateway.faults.action import Action
from backtesting.gateway.faults.book_actions import Amount
from backtesting.gateway.faults.engine import FaultEngine
from backtesting.gateway.faults.errors import FaultActionError
from backtesting.gateway.faults.script import check_names, load_preset, parse_rule, preset_names
from backtesting.gateway.faults.table import ACTIONS, catalogue, explain, read_action
from backtesting.gateway.market.corporate_action_file import (
    DIVIDEND,
    SPLIT,
    CorporateAction,
    parse_value,
    require_stock,
)
from backtesting.gateway.message_names import nearest
from backtesting.gateway.wire.codec import moment
from execution.clocks import timestamp
from execution.numbers import format_decimal

if TYPE_CHECKING:
    from backtesting.gateway.server import GatewayServer

NEXT_SESSION: Final = "next session"

Answer = dict[str, Any]


class GatewayControl:
    """Commands to a running gateway; each public method is one.

    Parameters
    ----------
    server
        The gateway.
    engine
        Its fault engine; by default a new one, which is put on the line with the first fault.
    """

    def __init__(self, server: GatewayServer, engine: FaultEngine | None = None) -> None:
        self._server = server
        self.engine = engine or FaultEngine(server)

    def obey(self, command: str, **arguments: object) -> Answer:
        """Carry out a command by its name.

        Raises
        ------
        GatewayError
            If there is no such command, its arguments are wrong, or it cannot be done.
        """
        method = COMMANDS.get(command)
        if method is None:
            raise ControlError(
                f"no command is called {command!r}{nearest(command, COMMANDS)}; "
                f"commands are {', '.join(COMMANDS)}"
            )
        try:
            inspect.signature(method).bind(self, **arguments)
        except TypeError as error:
            takes = ", ".join(list(inspect.signature(method).parameters)[1:]) or "nothing"
            raise ControlError(f"{command}: {error}; it takes {takes}") from error
        try:
            answer: Answer = method(self, **arguments)
        except (TypeError, ValueError) as error:
            raise ControlError(f"{command}: {error}") from error
        return answer

    def status(self) -> Answer:
        """Tell time, pace, clients and what is wrong on purpose."""
        service, standing = self._server.service, self.engine.standing
        return {
            "time": timestamp(service.clock.now_ns()).isoformat(),
            "paused": service.paused,
            "speed": "lockstep" if service.pace is None else str(service.pace),
            "port": self._server.port,
            "pid": os.getpid(),
            "clients": sorted(service.sessions),
            "connections": len(service.connections),
            "open_orders": len(service.book.open_tickets()),
            "rules": len(self.engine.rules),
            "connectivity": "lost" if standing.outage is not None else "ok",
            "logins": standing.refusing or "accepted",
            "read_only": standing.read_only,
        }

    def clients(self) -> Answer:
        """Tell who is connected."""
        return {
            "clients": [
                {
                    "connection": session.number,
                    "client": session.client_id,
                    "version": session.version,
                    "peer": session.peer,
                }
                for session in sorted(self._server.service.connections, key=lambda one: one.number)
            ]
        }

    def orders(self) -> Answer:
        """Tell today's orders."""
        return {
            "orders": [
                {
                    "client": ticket.client_id,
                    "order": ticket.order_id,
                    "perm_id": ticket.perm_id,
                    "symbol": ticket.instrument.symbol,
                    "side": ticket.order.request.side.value,
                    "type": ticket.order_type,
                    "quantity": format_decimal(ticket.order.request.quantity),
                    "filled": format_decimal(ticket.filled),
                    "status": ticket.status,
                }
                for ticket in self._server.service.book.tickets.values()
            ]
        }

    def executions(self) -> Answer:
        """Tell today's executions."""
        service = self._server.service
        return {
            "executions": [
                {
                    "execution": execution.exec_id,
                    "client": execution.ticket.client_id,
                    "order": execution.ticket.order_id,
                    "symbol": execution.ticket.instrument.symbol,
                    "quantity": format_decimal(execution.quantity),
                    "price": format_decimal(execution.price),
                }
                for execution in service.book.executions_today(service.clock.now_ns())
            ]
        }

    # time

    def pause(self) -> Answer:
        """Let time stand."""
        return self._time(do="pause")

    def resume(self) -> Answer:
        """Let time go on."""
        return self._time(do="resume")

    def step(self, count: int = 1) -> Answer:
        """Play steps."""
        return self._time(steps=count)

    def speed(self, value: str | float) -> Answer:
        """Change the pace: lockstep, max, or simulated seconds a second."""
        return self._time(speed=str(value))

    def jump(self, to: str) -> Answer:
        """Play everything up to a time, of New York if it names no zone, or up to the ``next session``."""
        return self._time(to=self._next_session() if to == NEXT_SESSION else to)

    def _next_session(self) -> str:
        service = self._server.service
        calendar, now_ns = service.state.calendar, service.clock.now_ns()
        running = calendar.session_at(now_ns)
        coming = calendar.session_closing_after(now_ns if running is None else running.close_ns)
        if coming is None:
            raise ControlError("jump: the calendar knows no further session")
        return timestamp(coming.open_ns).isoformat()

    def _time(self, **values: object) -> Answer:
        self._fire("time", values)
        service = self._server.service
        return {"time": timestamp(service.clock.now_ns()).isoformat(), "paused": service.paused}

    # faults

    def fault(self, spec: object, client: int | None = None) -> Answer:
        """Bring about an action now, or put a rule (with `when` and `do`) or a preset in force.

        Parameters
        ----------
        spec
            As in a script: ``"rst"``, ``{"farm": 2103}``, or ``{"when": …, "do": …}``; or a preset's name.
        client
            Whom an action is for; by default all.
        """
        if isinstance(spec, dict) and ("when" in spec or "do" in spec):
            rule = parse_rule(spec, "rule")
            check_names([rule], "rule", [live.name for live in self.engine.rules])
            self._attach()
            return {"rule": self.engine.add(rule).name, "told": rule.told()}
        if isinstance(spec, str) and spec not in ACTIONS and spec in preset_names():
            return self.preset(spec)
        action = read_action(spec, "fault")
        if action.directions:
            raise FaultActionError(
                f"{action.name} is done to a message: give a rule with when and do, "
                "or use the command preset with one of its presets"
            )
        self._play(action, client)
        return {"done": action.told()}

    def rules(self) -> Answer:
        """Tell the rules in force and how often each was played."""
        return {
            "rules": [
                {"name": live.name, "played": live.played, "rule": live.rule.told()}
                for live in self.engine.rules
            ]
        }

    def remove(self, name: str) -> Answer:
        """Take a rule out of force."""
        self.engine.remove(name)
        return {"removed": name}

    def preset(self, name: str) -> Answer:
        """Put the rules of a preset in force."""
        script = load_preset(name)
        self._attach()
        return {"rules": [live.name for live in self.engine.add_all(script.rules)]}

    def trace(self, last: int = 100) -> Answer:
        """Tell what faults have done, oldest first."""
        return {"trace": list(self.engine.trace)[-last:]}

    def faults(self) -> Answer:
        """Tell everything a rule can do."""
        return {"actions": catalogue()}

    # what others do

    def order(self, **fields: Any) -> Answer:
        """Place an order by hand: symbol, quantity, side, type, limit, stop, tif, client, ref."""
        self._fire("manual_order", fields)
        return {"order": self.orders()["orders"][-1]}

    def edit(self, order: int, **fields: Any) -> Answer:
        """Change a live order by hand: its id or permanent id, then quantity, limit, stop, client."""
        self._fire("manual_edit", {"order": order, **fields})
        return self.orders()

    def cancel(self, order: int, client: int | None = None) -> Answer:
        """Cancel a live order by hand."""
        self._fire("manual_cancel", {"order": order, "client": client})
        return self.orders()

    def correct(
        self, execution: str | None = None, quantity: Amount | None = None, price: Amount | None = None
    ) -> Answer:
        """Correct an execution, by default today's last."""
        self._fire("correct", {"execution": execution, "quantity": quantity, "price": price})
        return self.executions()

    def bust(self, execution: str | None = None) -> Answer:
        """Undo an execution, by default today's last."""
        self._fire("bust", {"execution": execution})
        return self.executions()

    def split(self, symbol: str, ratio: Amount) -> Answer:
        """Split a stock now: new shares for each old one, such as 2, 0.1 or 1/15."""
        return self._apply(symbol, SPLIT, ratio)

    def dividend(self, symbol: str, per_share: Amount) -> Answer:
        """Let a stock go ex dividend now: cash a share."""
        return self._apply(symbol, DIVIDEND, per_share)

    def _apply(self, symbol: str, kind: str, value: Amount) -> Answer:
        service = self._server.service
        require_stock(symbol, service.book.instruments, kind)
        today = moment(service.clock.now_ns()).date()
        service.apply(CorporateAction(today, symbol, kind, parse_value(kind, str(value))))
        positions = {
            account: format_decimal(ledger.position(symbol))
            for account, ledger in service.book.broker.ledgers.items()
        }
        return {"applied": kind, "symbol": symbol, "value": str(value), "positions": positions}

    # the gateway

    def restart(self, **fields: Any) -> Answer:
        """Restart: keep_state, how, lose_last, ids_back, down."""
        self._fire("restart", fields)
        return {"restarted": True}

    def drop(self, client: int | None = None, how: str = "fin") -> Answer:
        """End the connections of a client, or all: in order (fin) or with a reset (rst)."""
        if how not in ("fin", "rst"):
            raise ControlError(f"drop: how is fin or rst, not {how!r}")
        if client is None:
            self._fire("drop_all", {"how": how})
        else:
            self._fire(how, {"client": client})
        return {"dropped": "all" if client is None else client}

    def quit(self) -> Answer:
        """Stop the gateway."""
        self._server.request_stop()
        return {"stopping": True}

    def _fire(self, name: str, values: dict[str, Any]) -> None:
        try:
            action = ACTIONS[name].model_validate(values)
        except ValidationError as error:
            raise ControlError(f"{name}: {explain(error, ACTIONS[name].model_fields)}") from error
        self._play(action, None)

    def _play(self, action: Action, client: int | None) -> None:
        session = None
        if client is not None:
            session = self._server.service.sessions.get(client)
            if session is None:
                known = sorted(self._server.service.sessions) or "nobody"
                raise ControlError(f"client {client} is not connected; connected: {known}")
        if action.name not in _WITHOUT_ENGINE:
            self._attach()
        self.engine.fire([action], session)

    def _attach(self) -> None:
        if not self.engine.attached:
            self.engine.attach()


_WITHOUT_ENGINE: Final = frozenset(
    ("time", "manual_order", "manual_edit", "manual_cancel", "correct", "bust", "forget_executions")
)
"""Actions that leave the wire alone."""

COMMANDS: Final[dict[str, Callable[..., Answer]]] = {
    name: method
    for name, method in vars(GatewayControl).items()
    if inspect.isfunction(method) and not name.startswith("_") and name != "obey"
}
"""Every command by its name."""

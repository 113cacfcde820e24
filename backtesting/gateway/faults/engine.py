"""The fault engine: stands between a gateway and its connections, and applies rules to what passes.

1. A frame from a client is seen by the standing faults (`standing`: refused logins, pacing, read-only, lost
   connectivity), then by the rules in their order, and what is left of it reaches the gateway.
2. A message to a client is seen by the rules, then by the holds that wait for it, and leaves through the
   client's outlet, which knows pauses, segments and ends.
3. Messages that a fault sends itself are seen by no rule.
4. After each step the agenda does what has become due, before the step is told to anybody.

Chance comes from one seeded generator, drawn from in the order in which messages pass: the same script, seed
and traffic give the same trace.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from backtesting.gateway.faults.action import Action, Scene, Span
from backtesting.gateway.faults.agenda import Agenda
from backtesting.gateway.faults.conditions import Event
from backtesting.gateway.faults.errors import FaultActionError
from backtesting.gateway.faults.outlet import Item, Outlet
from backtesting.gateway.faults.peer import PREFIX, Hold, Injected, Peer, frames_of, read
from backtesting.gateway.faults.rule import LiveRule, Rule, Script
from backtesting.gateway.faults.standing import ORDER_QUERIES, Standing
from backtesting.gateway.message_names import HANDSHAKE, Direction, exec_id_of, name_of, order_id_of
from backtesting.gateway.wire import replies

if TYPE_CHECKING:
    from backtesting.gateway.server import GatewayServer
    from backtesting.gateway.service import GatewayService
    from backtesting.gateway.session import ClientSession

_TRACE: Final = 10_000
_EXECUTION: Final = b"11\0"
_ORDER_QUERIES: Final = frozenset(str(number).encode() for number in ORDER_QUERIES)


class FaultEngine:
    """Applies fault rules to one gateway; a tamper of its line.

    Parameters
    ----------
    server
        The gateway. Faults are in force from `attach` to `detach`.
    script
        Rules and seed.
    """

    def __init__(self, server: GatewayServer, script: Script | None = None) -> None:
        script = script or Script()
        self.server = server
        self.script = script
        self.rng = random.Random(script.seed)  # noqa: S311  # nosec B311  # faults are to be repeatable
        self.agenda = Agenda(self._now_ns)
        self.standing = Standing(self)
        self.rules: list[LiveRule] = []
        self.trace: deque[str] = deque(maxlen=_TRACE)
        """What was done, oldest first: step, rule or command, action, client, message."""
        self._added = 0
        self.attached = False
        """Whether the engine is on the line."""
        self._peers: dict[ClientSession, Peer] = {}
        self._orders_by_exec: dict[str, int] = {}
        self._after_flush: deque[Callable[[], None]] = deque()

    @property
    def service(self) -> GatewayService:
        """The gateway behind its sockets."""
        return self.server.service

    def _now_ns(self) -> int:
        return self.service.clock.now_ns()

    def attach(self) -> None:
        """Put the engine on the line and start its script."""
        self.attached = True
        self.service.line.tamper = self
        self.service.after_step.append(self.on_step)
        self.add_all(self.script.rules)

    def detach(self) -> None:
        """Take the engine off the line; what it holds back is lost."""
        self.attached = False
        self.service.line.tamper = None
        if self.on_step in self.service.after_step:
            self.service.after_step.remove(self.on_step)
        self.agenda.clear()
        for peer in self._peers.values():
            peer.outlet.drop()
        self._peers.clear()

    def add(self, rule: Rule) -> LiveRule:
        """Put a further rule in force, behind the others."""
        self._added += 1
        live = LiveRule(rule, name=rule.name or f"rule {self._added}")
        self.rules.append(live)
        live.arm(self)
        return live

    def add_all(self, rules: Sequence[Rule]) -> list[LiveRule]:
        """Put the rules of a script in force behind the others, and let those go that wait for its start."""
        added = [self.add(rule) for rule in rules]
        for live in added:
            if live.waits_for("start", None):
                live.play(self, Scene(self))
        return added

    def remove(self, name: str) -> None:
        """Take a rule out of force.

        Raises
        ------
        FaultActionError
            If no rule is called so.
        """
        for live in self.rules:
            if live.name == name:
                live.over = True
                self.rules.remove(live)
                return
        known = ", ".join(live.name for live in self.rules) or "none"
        raise FaultActionError(f"no rule is called {name!r}; in force: {known}")

    def fire(self, actions: Sequence[Action], session: ClientSession | None = None, by: str = "") -> None:
        """Play actions outside of any message."""
        scene = Scene(self, session)
        for action in actions:
            self.note(by or "command", action, scene)
            action.apply(scene)

    def note(self, by: str, action: Action, scene: Scene) -> None:
        """Write a line of the trace."""
        client = "" if scene.session is None else f" client {scene.session.client_id}"
        about = ""
        if scene.direction is not None:
            about = (
                f" {scene.direction} {name_of(scene.direction, scene.number)} {scene.order_id or ''}".rstrip()
            )
        self.trace.append(f"step {self.agenda.step} {by}: {action.told()}{client}{about}")

    # the line

    def peer(self, session: ClientSession) -> Peer:
        """Return what is kept of a connection."""
        known = self._peers.get(session)
        if known is None:
            known = self._peers[session] = Peer(Outlet(session))
            if session.version:
                known.heard = known.answered = True
        return known

    def sessions(self) -> list[ClientSession]:
        """Return the connections that the engine has seen, oldest first."""
        return sorted(self.service.connections, key=lambda session: session.number)

    def on_connected(self, session: ClientSession) -> None:
        """Note a connection."""
        self.peer(session)
        if self.standing.admit(session):
            self.on_event("connect", session)

    def on_lost(self, session: ClientSession) -> None:
        """Forget a connection and what waited for it."""
        peer = self._peers.pop(session, None)
        if peer is not None:
            peer.outlet.drop()
        self.standing.on_lost(session)
        self.on_event("disconnect", session)

    def on_closing(self, session: ClientSession) -> bool:
        """Return whether nothing waits any more for a client that is to be closed in order."""
        return self.peer(session).outlet.finish()

    def on_inbound(self, session: ClientSession, payload: bytes) -> Sequence[bytes]:
        """Return what the gateway is to read in place of a frame."""
        peer = self.peer(session)
        if peer.deaf:
            return ()
        delay = self.standing.latency_in
        if not delay and not peer.due_inwards:
            return self._inwards(session, payload)
        peer.due_inwards.append(payload)
        asyncio.get_running_loop().call_later(delay, self._late_inwards, session)
        return ()

    def _late_inwards(self, session: ClientSession) -> None:
        peer = self._peers.get(session)
        if peer is not None and peer.due_inwards:
            for payload in self._inwards(session, peer.due_inwards.popleft()):
                session.inject(payload)

    def _inwards(self, session: ClientSession, payload: bytes) -> list[bytes]:
        peer = self.peer(session)
        if peer.heard and not (self.rules or peer.holds or self.standing.hears):
            peer.asked = peer.asked or payload.partition(b"\0")[0] in _ORDER_QUERIES
            return [payload]
        first, peer.heard = not peer.heard, True
        number, fields = (HANDSHAKE, []) if first else read(payload)
        if not self.standing.lets_in(session, number, fields):
            return []
        scene = Scene(self, session, "in", number, fields, [payload])
        self._apply(scene)
        self._release(scene, peer)
        left = [item for item in scene.items if isinstance(item, bytes)]
        served = [item for item in left if self.standing.serves(session, item, number, fields)]
        peer.asked = peer.asked or (bool(served) and number in ORDER_QUERIES)
        return served

    def on_outbound(self, session: ClientSession, messages: Sequence[bytes]) -> None:
        """Write what a client is to receive in place of messages, now or later."""
        peer = self.peer(session)
        if peer.answered and not (self.rules or peer.holds or self.standing.keeps_some):
            items: list[Item] = self._unchanged(messages)
        else:
            items = self._changed(session, peer, messages)
        peer.asked = False
        self._put(peer, items)
        if session.client_id is not None and not peer.joined:
            peer.joined = True
            self.on_event("join", session)
        while self._after_flush:
            self._after_flush.popleft()()

    def _unchanged(self, messages: Sequence[bytes]) -> list[Item]:
        """Return messages as they are; only whose the executions are is remembered, for rules to come."""
        for block in messages:
            if _EXECUTION in block and not isinstance(block, Injected):
                for one in frames_of(block):
                    if one.startswith(_EXECUTION, PREFIX):
                        self.order_of("out", *read(one[PREFIX:]))
        return [bytes(block) for block in messages]

    def _changed(self, session: ClientSession, peer: Peer, messages: Sequence[bytes]) -> list[Item]:
        items: list[Item] = []
        coming = [
            one
            for block in messages
            for one in ([block] if isinstance(block, Injected) else frames_of(block))
        ]
        while coming:
            one = coming.pop(0)
            if isinstance(one, Injected):
                items.append(bytes(one))
            else:
                items += self._outwards(session, peer, one, coming)
        return items

    def _outwards(
        self, session: ClientSession, peer: Peer, data: bytes, following: list[bytes]
    ) -> list[Item]:
        first, peer.answered = not peer.answered, True
        number, fields = read(data[PREFIX:])
        if first:
            number, fields = HANDSHAKE, ["", *fields]
        if not self.standing.lets_out(session, number, data, asked=peer.asked):
            return []
        scene = Scene(self, session, "out", number, fields, [data], following)
        self._apply(scene)
        self._release(scene, peer)
        return scene.items

    def _put(self, peer: Peer, items: list[Item]) -> None:
        if items:
            peer.outlet.put([*self.standing.outward_delay(), *items])

    def _apply(self, scene: Scene) -> None:
        for live in tuple(self.rules):
            if not live.over and live.takes(self, scene):
                live.play(self, scene)

    def _release(self, scene: Scene, peer: Peer) -> None:
        """Let go what has waited for the message that has just passed."""
        if scene.direction is None:
            return
        order = self.order_of(scene.direction, scene.number, scene.fields)
        if not peer.holds:
            return
        ended = [hold for hold in peer.holds if hold.ends_with(scene.direction, scene.number, order)]
        for hold in ended:
            peer.holds.remove(hold)
            if hold.direction == scene.direction:
                scene.items.append(hold.data)
            else:
                self._after_flush.append(self._released(scene.session, hold))
        if ended and scene.direction == "in":
            asyncio.get_running_loop().call_soon(self._run_after_flush)

    def defer(self, what: Callable[[], None]) -> None:
        """Do something when the message that passes has left, or has been served."""
        self._after_flush.append(what)
        asyncio.get_running_loop().call_soon(self._run_after_flush)

    def _run_after_flush(self) -> None:
        while self._after_flush:
            self._after_flush.popleft()()

    def _released(self, session: ClientSession | None, hold: Hold) -> Callable[[], None]:
        def go() -> None:
            if session is not None:
                self.resend(session, hold.direction, hold.data)

        return go

    def resend(self, session: ClientSession, direction: Direction, data: bytes) -> None:
        """Let a message that was held back go on; no rule sees it again."""
        if session not in self._peers:
            return
        if direction == "out":
            self._put(self.peer(session), [data])
        elif self.standing.serves(session, data, *read(data)):
            session.inject(data)

    def tell(self, session: ClientSession, data: bytes) -> None:
        """Send a message that no rule sees, behind what waits in the client's outbox."""
        if session.is_open:
            session.send(Injected(data))
            session.flush()

    @staticmethod
    def error(session: ClientSession, request_id: int, code: int, text: str) -> bytes:
        """Encode an error for a client."""
        return replies.error(session.version, request_id, code, text)

    def order_of(self, direction: Direction, number: int, fields: list[str]) -> int | None:
        """Return the order a message is about; a commission's is known from its execution."""
        order = order_id_of(direction, number, fields)
        exec_id = exec_id_of(direction, number, fields)
        if exec_id is not None:
            if order is None:
                return self._orders_by_exec.get(exec_id)
            self._orders_by_exec[exec_id] = order
            if len(self._orders_by_exec) > _TRACE:
                del self._orders_by_exec[next(iter(self._orders_by_exec))]
        return order

    def end_subscriptions(self, session: ClientSession) -> None:
        """Forget what a client has subscribed to in the market."""
        self.service.end_subscriptions(session)

    def pause(self, session: ClientSession, span: Span) -> None:
        """Send nothing to a client for a span."""
        outlet = self.peer(session).outlet
        outlet.stopped += 1

        def go_on() -> None:
            outlet.stopped -= 1
            outlet.run()

        self.agenda.after(span, go_on)

    # events

    def on_step(self) -> None:
        """Do what a step makes due."""
        self.agenda.on_step()
        self.on_event("step", None)

    def on_event(self, event: Event, session: ClientSession | None) -> None:
        """Apply the rules that wait for an event."""
        for live in tuple(self.rules):
            if not live.over and live.waits_for(event, session):
                live.play(self, Scene(self, session if session in self._peers else None))

"""A rule of a script, and the same rule in force: what it has seen and whether it is its turn."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from backtesting.gateway.faults.action import Action, Scene
from backtesting.gateway.faults.agenda import Later
from backtesting.gateway.faults.conditions import Event, When
from backtesting.gateway.faults.errors import FaultActionError

if TYPE_CHECKING:
    from backtesting.gateway.faults.engine import FaultEngine
    from backtesting.gateway.session import ClientSession

_MOST_WARNINGS: Final = 5
"""Failures of one rule that are logged; the trace has all."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rule:
    """When something goes wrong, and what: the actions are played in order."""

    when: When
    do: tuple[Action, ...]
    name: str = ""

    def told(self) -> str:
        """Return the rule in one line."""
        values = self.when.model_dump(exclude_defaults=True, exclude_none=True)
        when = ", ".join(f"{key}={value!r}" for key, value in values.items())
        return f"when {when}: {', '.join(action.told() for action in self.do)}"


@dataclass(frozen=True, slots=True)
class Script:
    """Rules and the seed of their chances."""

    rules: tuple[Rule, ...] = ()
    seed: int = 0


@dataclass(slots=True, eq=False)
class LiveRule:
    """A rule in force."""

    rule: Rule
    name: str
    seen: int = 0
    """Messages or events that matched, counts and chance apart."""
    played: int = 0
    armed: bool = True
    over: bool = False
    failures: int = 0
    """How often an action could not be brought about."""
    kind: tuple[str, int] | None = field(init=False)

    def __post_init__(self) -> None:
        self.kind = None if self.rule.when.message is None else self.rule.when.kind

    def arm(self, engine: FaultEngine) -> None:
        """Wait for what has to come first."""
        when = self.rule.when
        self.armed = when.at is None and when.after is None
        if when.at_ns is not None:
            engine.agenda.at(when.at_ns, lambda: self.go(engine))
        if when.after is not None and when.after.rule is None:
            engine.agenda.after(when.after.span, lambda: self.go(engine))

    def go(self, engine: FaultEngine) -> None:
        """Note that the time has come: a rule without a message is played, one with it listens from now."""
        if self.over:
            return
        if self.kind is None and self.rule.when.event is None:
            self.play(engine, Scene(engine))
        else:
            self.armed = True

    def takes(self, engine: FaultEngine, scene: Scene) -> bool:
        """Return whether the rule applies to a message that passes."""
        if self.kind != (scene.direction, scene.number) or not self.armed or scene.direction is None:
            return False
        client = None if scene.session is None else scene.session.client_id
        if not self.rule.when.matches(client, scene.direction, scene.number, scene.fields):
            return False
        return self._turn(engine)

    def waits_for(self, event: Event, session: ClientSession | None) -> bool:
        """Return whether the rule applies to an event."""
        when = self.rule.when
        if when.event != event or not self.armed:
            return False
        if when.client is not None and (session is None or session.client_id != when.client):
            return False
        return when.times is None or self.played < when.times

    def _turn(self, engine: FaultEngine) -> bool:
        when = self.rule.when
        self.seen += 1
        if when.nth is not None and self.seen != when.nth:
            return False
        if when.every is not None and self.seen % when.every:
            return False
        if when.times is not None and self.played >= when.times:
            return False
        return when.probability is None or engine.rng.random() < when.probability

    def play(self, engine: FaultEngine, scene: Scene) -> None:
        """Play the actions, and make appointments for the rules that come after this one."""
        self.played += 1
        for action in self.rule.do:
            if action.deferred and scene.direction is not None:
                engine.defer(self._playing(engine, action, scene))
            else:
                self._perform(engine, action, scene)
        for live in tuple(engine.rules):
            after = live.rule.when.after
            if after is not None and after.rule == self.name:
                engine.agenda.after(after.span, _going(live, engine))

    def _playing(self, engine: FaultEngine, action: Action, scene: Scene) -> Later:
        def go() -> None:
            self._perform(engine, action, scene)

        return go

    def _perform(self, engine: FaultEngine, action: Action, scene: Scene) -> None:
        engine.note(self.name, action, scene)
        try:
            action.apply(scene)
        except FaultActionError as error:
            engine.trace.append(f"step {engine.agenda.step} {self.name}: {action.name} failed: {error}")
            self.failures += 1
            if self.failures <= _MOST_WARNINGS:
                _log.warning("fault rule %s: %s: %s", self.name, action.name, error)
        except Exception as error:  # noqa: BLE001  the boundary of what is to go wrong: the gateway goes on
            engine.trace.append(f"step {engine.agenda.step} {self.name}: {action.name} broke: {error!r}")
            _log.exception("fault rule %s: %s broke and the rule is over; report it", self.name, action.name)
            self.over = True


def _going(live: LiveRule, engine: FaultEngine) -> Later:
    def go() -> None:
        live.go(engine)

    return go

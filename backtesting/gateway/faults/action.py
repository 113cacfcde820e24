"""What a rule can do: the base of all actions, and the scene an action is played in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator

from backtesting.gateway.faults.errors import FaultActionError
from backtesting.gateway.faults.outlet import Item
from backtesting.gateway.message_names import Direction, order_id_of

if TYPE_CHECKING:
    from backtesting.gateway.faults.engine import FaultEngine
    from backtesting.gateway.session import ClientSession


class Strict(BaseModel):
    """A part of a fault script: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Span(Strict):
    """A length of time: steps of the market, seconds of simulated time, or seconds of wall time."""

    steps: int | None = None
    seconds: float | None = None
    wall: float | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [value for value in (self.steps, self.seconds, self.wall) if value is not None]
        if len(given) != 1 or given[0] < 0:
            raise ValueError("give one of steps, seconds (simulated) or wall (seconds), not negative")
        return self


@dataclass(slots=True)
class Scene:
    """What an action sees: the message that passes and its client, if it is played for one."""

    engine: FaultEngine
    session: ClientSession | None = None
    direction: Direction | None = None
    number: int = 0
    fields: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    """What goes on in place of the message: payloads inwards, frames and instructions outwards."""
    following: list[bytes] = field(default_factory=list)
    """Frames of the same delivery that come behind it."""

    @property
    def order_id(self) -> int | None:
        """The order the message is about."""
        return None if self.direction is None else order_id_of(self.direction, self.number, self.fields)

    def sessions(self, client: int | None = None) -> list[ClientSession]:
        """Return whom an action is for: the client named, else the message's, else all."""
        everyone = self.engine.service.sessions
        if client is not None:
            if client not in everyone:
                raise FaultActionError(f"client {client} is not connected: {sorted(everyone) or 'nobody is'}")
            return [everyone[client]]
        if self.session is not None:
            return [self.session]
        return list(everyone.values())

    def tell(self, session: ClientSession, data: bytes) -> None:
        """Send a message that no rule sees: behind the message that passes, if it is that client's."""
        if session is self.session and self.direction == "out":
            self.items.append(data)
        else:
            self.engine.tell(session, data)


class Action(Strict):
    """Something that goes wrong; subclasses say what in their docstring, which the catalogue shows."""

    name: ClassVar[str]
    main: ClassVar[str | None] = None
    """The parameter a bare value stands for."""
    directions: ClassVar[tuple[Direction, ...]] = ()
    """Directions of messages it can be applied to; empty if it needs no message."""
    deferred: ClassVar[bool] = False
    """Whether it comes when the message that passes has left, or has been served."""

    def apply(self, scene: Scene) -> None:
        """Bring it about.

        Raises
        ------
        FaultActionError
            If what it needs is not there; nothing was done.
        """
        self._play(scene)

    def _play(self, scene: Scene) -> None:
        raise NotImplementedError

    def told(self) -> str:
        """Return it as a script writes it."""
        values: dict[str, Any] = self.model_dump(exclude_defaults=True, exclude_none=True)
        return f"{self.name}({', '.join(f'{key}={value!r}' for key, value in values.items())})"


class LastingAction(Action):
    """An action that lasts a while: by steps, simulated or wall seconds."""

    steps: int | None = None
    seconds: float | None = None
    wall: float | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        _ = self.span  # raises unless exactly one is given
        return self

    @property
    def span(self) -> Span:
        """How long."""
        return Span(steps=self.steps, seconds=self.seconds, wall=self.wall)

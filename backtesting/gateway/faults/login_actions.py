"""What can go wrong when somebody connects: ids in use, refused logins, messages to be confirmed."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from backtesting.gateway.faults.action import Action, Scene, Span
from backtesting.gateway.faults.standing import Refusing


class IdInUse(Action):
    """326 window: the id of a client that leaves counts as in use, for a span or so many `attempts`.

    `on: false` frees all ids again.
    """

    name = "id_in_use"
    lasts: Span | None = None
    attempts: int | None = None
    on: bool = True

    def _play(self, scene: Scene) -> None:
        standing = scene.engine.standing
        standing.ids_kept = self.on
        standing.id_span, standing.id_attempts = self.lasts, self.attempts
        if not self.on:
            standing.ids_taken.clear()


class Refuse(Action):
    """Logins fail: new connections hang unanswered, are closed, or reset (`how`); some, or until `accept`.

    As ``unreachable`` the gateway does not listen at all, as before a login: nobody gets a connection.
    """

    name = "refuse"
    main = "how"
    how: Refusing = "close"
    connections: int | None = None
    lasts: Span | None = None

    @model_validator(mode="after")
    def _countable(self) -> Self:
        if self.how == "unreachable" and self.connections is not None:
            raise ValueError("connections that never reach the gateway cannot be counted: give lasts")
        return self

    def _play(self, scene: Scene) -> None:
        standing = scene.engine.standing
        standing.refuse(self.how, self.connections)
        if self.lasts is not None:
            scene.engine.agenda.after(self.lasts, standing.accept)


class Accept(Action):
    """Logins succeed again (the second factor has been confirmed); connections that hang are closed."""

    name = "accept"

    def _play(self, scene: Scene) -> None:
        scene.engine.standing.accept()


class LoginMessage(Action):
    """A message of the login comes before any answer, and `blocks` it: the connection is closed then."""

    name = "login_message"
    main = "text"
    text: str = "Paper trading disclaimer must first be accepted for API connection."
    code: int = 10141
    blocks: bool = True
    on: bool = True

    def _play(self, scene: Scene) -> None:
        scene.engine.standing.login_message = (self.code, self.text, self.blocks) if self.on else None


LOGIN_ACTIONS: tuple[type[Action], ...] = (IdInUse, Refuse, Accept, LoginMessage)

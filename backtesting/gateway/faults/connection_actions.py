"""What can happen to a connection: its end, silence, pauses, latency."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from backtesting.gateway.faults.action import Action, LastingAction, Scene, Span
from backtesting.gateway.faults.outlet import Close
from backtesting.gateway.session import ClientSession


class Rst(Action):
    """The connection is reset; what was to be sent with the message is lost."""

    name = "rst"
    main = "client"
    client: int | None = None

    def _play(self, scene: Scene) -> None:
        _end(scene, self.client, Close(reset=True))


class Fin(Action):
    """The connection is closed in order, behind the message that passes."""

    name = "fin"
    main = "client"
    client: int | None = None

    def _play(self, scene: Scene) -> None:
        _end(scene, self.client, Close(reset=False))


def _end(scene: Scene, client: int | None, close: Close) -> None:
    for session in scene.sessions(client):
        if session is scene.session and scene.direction == "out":
            scene.items.append(close)
        else:
            session.flush()
            scene.engine.peer(session).outlet.put([close])


class BlackHole(Action):
    """The socket stays open and dead: the gateway stops `reading`, `sending` or both, for a span or for good.

    A lost cable or a hung gateway looks like this: no FIN ever comes. What was to be sent is lost. In
    lockstep the others no longer wait for the client.
    """

    name = "black_hole"
    main = "stop"
    stop: Literal["both", "reading", "sending"] = "both"
    client: int | None = None
    lasts: Span | None = None

    def _play(self, scene: Scene) -> None:
        for session in scene.sessions(self.client):
            outlet = scene.engine.peer(session).outlet
            if self.stop != "reading":
                outlet.black = True
                if session is scene.session and scene.direction == "out":
                    scene.items.clear()
            if self.stop != "sending":
                session.listen(on=False)
            scene.engine.defer(partial(scene.engine.service.excuse, session))
            if self.lasts is not None:
                scene.engine.agenda.after(self.lasts, _reviving(scene, session))


def _reviving(scene: Scene, session: ClientSession) -> Callable[[], None]:
    def revive() -> None:
        if session.is_open:
            scene.engine.peer(session).outlet.black = False
            session.listen(on=True)

    return revive


class Pause(LastingAction):
    """Nothing is sent to the client for a span; then everything comes at once, in order."""

    name = "pause"
    client: int | None = None

    def _play(self, scene: Scene) -> None:
        for session in scene.sessions(self.client):
            scene.engine.pause(session, self.span)


class PageGuard(Action):
    """The gateway does (`on`) or does not avoid deliveries of a whole number of pages by itself."""

    name = "page_guard"
    main = "on"
    on: bool

    def _play(self, scene: Scene) -> None:
        scene.engine.service.line.avoid_full_pages = self.on


class Latency(Action):
    """Every message takes so many wall seconds `inwards` and `outwards`, in order."""

    name = "latency"
    inwards: float = 0.0
    outwards: float = 0.0

    def _play(self, scene: Scene) -> None:
        scene.engine.standing.latency_in = self.inwards
        scene.engine.standing.latency_out = self.outwards


CONNECTION_ACTIONS: tuple[type[Action], ...] = (
    Rst,
    Fin,
    BlackHole,
    Pause,
    PageGuard,
    Latency,
)

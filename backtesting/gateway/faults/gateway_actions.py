"""What can go wrong in a gateway: notices, outages, farms, read-only, pacing, time."""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import model_validator

from backtesting.gateway.errors import GatewayError
from backtesting.gateway.faults.action import Action, Scene
from backtesting.gateway.faults.conditions import moment_ns
from backtesting.gateway.faults.errors import FaultActionError
from backtesting.gateway.faults.outlet import Close
from backtesting.gateway.faults.standing import Outage, Pacing
from backtesting.gateway.wire.codec import message

LOST: Final = "Connectivity between IB and Trader Workstation has been lost."
RESTORED: Final = "Connectivity between IB and Trader Workstation has been restored - data "
_RESTORED_TEXT: Final = {
    "lost": (1101, f"{RESTORED}lost."),
    "kept": (1102, f"{RESTORED}maintained. All data farms are connected: usfarm; ushmds; secdefnj."),
}

FARM_CODES: Final = {
    2103: "Market data farm connection is broken:{farm}",
    2104: "Market data farm connection is OK:{farm}",
    2105: "HMDS data farm connection is broken:{farm}",
    2106: "HMDS data farm connection is OK:{farm}",
    2107: "HMDS data farm connection is inactive but should be available upon demand.{farm}",
    2108: "Market data farm connection is inactive but should be available upon demand.{farm}",
    2110: "Connectivity between Trader Workstation and server is broken. It will be restored automatically.",
    2119: "Market data farm is connecting:{farm}",
    2157: "Sec-def data farm connection is broken:{farm}",
    2158: "Sec-def data farm connection is OK:{farm}",
}
_FARMS: Final = {2105: "ushmds", 2106: "ushmds", 2107: "ushmds", 2157: "secdefnj", 2158: "secdefnj"}


def tell_all(scene: Scene, code: int, text: str, client: int | None = None) -> None:
    """Send a notice that belongs to no request to one client, or to all that have named themselves."""
    everyone = scene.engine.service.sessions
    chosen = scene.sessions(client) if client is not None else list(everyone.values())
    for session in chosen:
        scene.tell(session, scene.engine.error(session, -1, code, text))


class Note(Action):
    """Nothing goes wrong; the trace tells it, and other rules can come after."""

    name = "note"
    main = "text"
    text: str = ""

    def _play(self, scene: Scene) -> None:
        """Do nothing."""


class SendError(Action):
    """An error, warning or notice is sent, whatever it says; by default about the message's order."""

    name = "error"
    code: int
    text: str = ""
    id: int | None = None
    client: int | None = None

    def _play(self, scene: Scene) -> None:
        about = self.id if self.id is not None else scene.order_id
        for session in scene.sessions(self.client):
            request_id = -1 if about is None else about
            scene.tell(session, scene.engine.error(session, request_id, self.code, self.text))


class SendMessage(Action):
    """Any message is sent, field by field, the message number first."""

    name = "message"
    main = "fields"
    fields: list[str | int | float]
    client: int | None = None

    def _play(self, scene: Scene) -> None:
        for session in scene.sessions(self.client):
            scene.tell(session, message(*self.fields))


class ConnectivityLost(Action):
    """The gateway loses its server: 1100 to all, no market data, and sockets stay open.

    Orders and cancels are queued until it is restored (or `orders`: reject with 504, or drop); what happens
    to orders meanwhile is told then (or `events`: lost). History is refused with 162.
    """

    name = "connectivity_lost"
    orders: Literal["queue", "reject", "drop"] = "queue"
    events: Literal["late", "lost"] = "late"
    repeat: int = 1

    def _play(self, scene: Scene) -> None:
        for _ in range(self.repeat):
            tell_all(scene, 1100, LOST)
        if scene.engine.standing.outage is None:
            scene.engine.standing.outage = Outage(self.orders, self.events)


class ConnectivityRestored(Action):
    """The server is back: 1102 (data `kept`), or 1101 (data `lost`: every subscription has ended)."""

    name = "connectivity_restored"
    main = "data"
    deferred = True
    data: Literal["kept", "lost"] = "kept"

    def _play(self, scene: Scene) -> None:
        engine = scene.engine
        if self.data == "lost":
            for session in engine.service.sessions.values():
                engine.service.end_subscriptions(session)
        tell_all(scene, *_RESTORED_TEXT[self.data])
        engine.standing.restore()


class Farm(Action):
    """A farm notice (2103 to 2108, 2110, 2119, 2157, 2158) is sent to all; orders are not touched.

    2103 stops market data and 2105 history, until 2104 and 2106; `data: false` sends the words only.
    """

    name = "farm"
    main = "notice"
    notice: int
    farm: str | None = None
    data: bool = True
    client: int | None = None

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.notice not in FARM_CODES:
            raise ValueError(f"notice {self.notice} is none of {', '.join(map(str, FARM_CODES))}")
        return self

    def _play(self, scene: Scene) -> None:
        farm = self.farm or _FARMS.get(self.notice, "usfarm")
        tell_all(scene, self.notice, FARM_CODES[self.notice].format(farm=farm), self.client)
        if not self.data:
            return
        standing = scene.engine.standing
        if self.notice in (2103, 2104):
            standing.market_down = self.notice == 2103  # noqa: PLR2004
        if self.notice in (2105, 2106):
            standing.history_down = self.notice == 2105  # noqa: PLR2004


class PortReset(Action):
    """1300: the port has changed; the client is told the new one and its connection dropped."""

    name = "port_reset"
    port: int | None = None
    client: int | None = None

    def _play(self, scene: Scene) -> None:
        port = scene.engine.server.port if self.port is None else self.port
        text = (
            "TWS socket port has been reset and this connection is being dropped. "
            f"Please reconnect on the new port - {port}"
        )
        for session in scene.sessions(self.client):
            scene.tell(session, scene.engine.error(session, -1, 1300, text))
            if session is scene.session and scene.direction == "out":
                scene.items.append(Close(reset=False))
            else:
                session.close()


class ReadOnly(Action):
    """Read-only API: orders, cancels and requests for orders are refused with 321 and nothing else comes."""

    name = "read_only"
    main = "on"
    on: bool = True

    def _play(self, scene: Scene) -> None:
        scene.engine.standing.read_only = self.on


class PacingLimit(Action):
    """More than `limit` messages in a second are refused with error 100, each of them.

    In the second such second (`strikes`) the client is disconnected. Seconds are of the wall clock, or with
    `time: simulated` of simulated time; `on: false` ends it.
    """

    name = "pacing"
    limit: int = 50
    strikes: int = 2
    time: Literal["wall", "simulated"] = "wall"
    on: bool = True

    def _play(self, scene: Scene) -> None:
        scene.engine.standing.pacing = Pacing(self.limit, self.strikes, self.time) if self.on else None


class DropAll(Action):
    """Every connection ends, in order (`how` fin) or reset."""

    name = "drop_all"
    main = "how"
    how: Literal["fin", "rst"] = "fin"

    def _play(self, scene: Scene) -> None:
        for session in scene.engine.sessions():
            if session is scene.session and scene.direction == "out":
                scene.items.append(Close(reset=self.how == "rst"))
            else:
                session.flush()
                scene.engine.peer(session).outlet.put([Close(reset=self.how == "rst")])


class Clock(Action):
    """Simulated time stands (`pause`), goes on (`resume`), plays `steps`, jumps `to`, or changes `speed`."""

    name = "time"
    main = "do"
    deferred = True
    do: Literal["pause", "resume"] | None = None
    steps: int | None = None
    to: str | None = None
    speed: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.do, self.steps, self.to, self.speed)) != 1:
            raise ValueError("give one of do, steps, to, speed")
        if self.to is not None:
            moment_ns(self.to)
        return self

    def _play(self, scene: Scene) -> None:
        service = scene.engine.service
        if self.do == "pause":
            service.pause()
        elif self.do == "resume":
            service.resume()
        elif self.to is not None:
            service.jump_to(moment_ns(self.to))
        elif self.steps is not None:
            service.step(self.steps)
        elif self.speed is not None:
            try:
                service.set_speed(self.speed)
            except GatewayError as error:
                raise FaultActionError(str(error)) from error


GATEWAY_ACTIONS: tuple[type[Action], ...] = (
    Note,
    SendError,
    SendMessage,
    ConnectivityLost,
    ConnectivityRestored,
    Farm,
    PortReset,
    ReadOnly,
    PacingLimit,
    DropAll,
    Clock,
)

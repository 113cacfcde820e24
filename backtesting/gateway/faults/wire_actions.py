"""What can happen to a message on the wire; `connection_actions` has what can happen to its connection."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from backtesting.gateway.faults.action import Action, LastingAction, Scene
from backtesting.gateway.faults.conditions import message_kind
from backtesting.gateway.faults.errors import FaultActionError
from backtesting.gateway.faults.outlet import FillPage, Item, Pieces, Wait
from backtesting.gateway.faults.peer import PREFIX, Hold, read
from backtesting.gateway.message_names import Direction, field_index
from backtesting.gateway.wire.frames import frame

BOTH: tuple[Direction, ...] = ("in", "out")


class Drop(Action):
    """The message is lost. On placeOrder: the order is silently dropped and nobody ever hears of it."""

    name = "drop"
    directions = BOTH

    def _play(self, scene: Scene) -> None:
        scene.items.clear()


class Delay(LastingAction):
    """The message comes later, behind what has been sent meanwhile: by steps, simulated or wall seconds."""

    name = "delay"
    directions = BOTH

    def _play(self, scene: Scene) -> None:
        session, direction, engine = scene.session, scene.direction, scene.engine
        if session is None or direction is None:
            return
        late = [item for item in scene.items if isinstance(item, bytes)]
        scene.items.clear()

        def resend() -> None:
            for data in late:
                engine.resend(session, direction, data)

        engine.agenda.after(self.span, resend)


class Duplicate(Action):
    """The message comes `times` times, twice by default."""

    name = "duplicate"
    main = "times"
    directions = BOTH
    times: int = 2

    def _play(self, scene: Scene) -> None:
        scene.items[:] = [item for item in scene.items for _ in range(self.times)]


class Reorder(Action):
    """The message waits until another message (`after`) of the same order has passed.

    A cancelOrder held until execDetails is the race of a cancel with a fill; an execDetails held until
    orderStatus a status ahead of its fill.
    """

    name = "reorder"
    main = "after"
    directions = BOTH
    after: str

    @model_validator(mode="after")
    def _known(self) -> Self:
        message_kind(self.after)
        return self

    def _play(self, scene: Scene) -> None:
        if scene.session is None or scene.direction is None:
            return
        peer = scene.engine.peer(scene.session)
        for item in scene.items:
            if isinstance(item, bytes):
                order = scene.engine.order_of(scene.direction, scene.number, scene.fields)
                peer.holds.append(Hold(scene.direction, item, message_kind(self.after), order))
        scene.items.clear()


class Precede(Action):
    """Another message (`by`) of the same order that leaves in the same delivery comes first.

    An execDetails preceded by commissionReport is an early commission; all other messages keep their places.
    """

    name = "precede"
    main = "by"
    directions = ("out",)
    by: str

    @model_validator(mode="after")
    def _known(self) -> Self:
        if message_kind(self.by)[0] != "out":
            raise ValueError(f"{self.by} is not sent by the gateway")
        return self

    def _play(self, scene: Scene) -> None:
        wanted = message_kind(self.by)[1]
        order = scene.engine.order_of("out", scene.number, scene.fields)
        for place, data in enumerate(scene.following):
            number, fields = read(data[PREFIX:])
            if number == wanted and scene.engine.order_of("out", number, fields) == order:
                del scene.following[place]
                scene.items.insert(0, data)
                return


class Split(Action):
    """The message leaves in segments of `size` bytes, `gap` wall seconds apart."""

    name = "split"
    main = "size"
    directions = ("out",)
    size: int = 1
    gap: float = 0.0

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if self.size < 1 or self.gap < 0:
            raise ValueError("size must be 1 or more, gap 0 or more")
        return self

    def _play(self, scene: Scene) -> None:
        scene.items[:] = [
            Pieces(item, self.size, self.gap) if isinstance(item, bytes) else item for item in scene.items
        ]


class Corrupt(Action):
    """The message is damaged: `flip` bytes change at random, or `field` (name or place) becomes `value`."""

    name = "corrupt"
    directions = BOTH
    flip: int | None = None
    field: str | int | None = None
    value: str | int | float | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.flip is None) == (self.field is None) or (self.field is None) != (self.value is None):
            raise ValueError("give flip (a number of bytes), or field and value")
        return self

    def _play(self, scene: Scene) -> None:
        scene.items[:] = [
            self._damaged(scene, item) if isinstance(item, bytes) else item for item in scene.items
        ]

    def _damaged(self, scene: Scene, data: bytes) -> bytes:
        payload = data[PREFIX:] if scene.direction == "out" else data
        if self.flip is not None:
            damaged = bytearray(payload)
            for _ in range(self.flip):
                damaged[scene.engine.rng.randrange(len(damaged))] ^= scene.engine.rng.randrange(1, 256)
            payload = bytes(damaged)
        else:
            payload = self._replaced(scene, payload)
        return frame(payload) if scene.direction == "out" else payload

    def _replaced(self, scene: Scene, payload: bytes) -> bytes:
        fields = payload.split(b"\0")
        place = self.field if isinstance(self.field, int) else None
        if isinstance(self.field, str) and scene.direction is not None:
            place = field_index(scene.direction, scene.number, self.field)
        if place is None or not 0 <= place < len(fields) - 1:
            raise FaultActionError(f"the message has no field {self.field!r}; give its place, such as 3")
        fields[place] = str(self.value).encode()
        return b"\0".join(fields)


class Stall(Action):
    """The message, and whatever follows it to that client, leaves `wall` seconds later."""

    name = "stall"
    main = "wall"
    directions = ("out",)
    wall: float

    def _play(self, scene: Scene) -> None:
        items: list[Item] = [Wait(self.wall)]
        scene.items[:] = items + scene.items


class FullPage(Action):
    """The delivery the message is part of is made a whole number of 4096-byte pages long.

    A known client reads until a block comes back short, waits, and loses such a delivery.
    """

    name = "full_page"
    directions = ("out",)

    def _play(self, scene: Scene) -> None:
        scene.items.append(FillPage())


WIRE_ACTIONS: tuple[type[Action], ...] = (
    Drop,
    Delay,
    Duplicate,
    Reorder,
    Precede,
    Split,
    Corrupt,
    Stall,
    FullPage,
)

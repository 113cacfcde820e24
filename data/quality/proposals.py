"""What could mend what was found, for a person to judge: nothing is done here, and no bar is invented."""

from __future__ import annotations

import datetime as dt
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from data.corporate_actions import CorporateAction
from data.quality.finding import Finding
from data.quality.sources import Checked
from execution.timeframes import Timeframe

_DERIVATIVE: Final = re.compile(r".+ ([0-9]{8}|[0-9]{6}[CP][0-9.]+)", re.ASCII)
"""How this house names a future or an option: it does not say on which exchange to ask for it."""


@dataclass(frozen=True, slots=True)
class PullRange:
    """Bars to ask a source for: a ticker from one exchange date to another, both included.

    `flags` are what the pull has to be told besides. A stock's bars come from Interactive Brokers adjusted
    for splits, so that it asks who knows them; by default the source is Yahoo, which tells them itself.
    """

    symbol: str
    timeframe: Timeframe
    first: dt.date
    last: dt.date
    why: str
    flags: tuple[str, ...] = ("--source", "yahoo")

    @property
    def command(self) -> str:
        """The command that would pull them, to be run as it stands; empty where it takes more than a name."""
        if _DERIVATIVE.fullmatch(self.symbol):
            return ""
        span = "--timeframe", self.timeframe.value, "--start", str(self.first), "--end", str(self.last)
        return shlex.join(("trade", "data", "pull", self.symbol, *span, *self.flags))


@dataclass(frozen=True, slots=True)
class Proposals:
    """Corporate actions that would explain jumps, and ranges to pull."""

    actions: tuple[CorporateAction, ...]
    pulls: tuple[PullRange, ...]

    def pulled_with(self, flags: Sequence[str]) -> Proposals:
        """Return them with other flags of the commands that pull."""
        return replace(self, pulls=tuple(replace(pull, flags=tuple(flags)) for pull in self.pulls))

    def to_text(self) -> str:
        """Return them as a file of corporate actions, in which the ranges to pull are comments."""
        lines = ["date,symbol,kind,value", "# Proposals of trade data check; nothing of this has been done."]
        if self.actions:
            lines.append(
                "# Each line would explain a jump, as new shares for each old one. Confirm it, or remove it."
            )
            lines += [f"{one.ex_date},{one.symbol},{one.kind},{one.value}" for one in self.actions]
        if self.pulls:
            lines += [
                "# Bars are missing. These commands would ask a source for them; what they name as --actions",
                "# has to know the splits within what is missing, too.",
            ]
            for pull in self.pulls:
                lines += [f"#   {pull.command or _by_contract(pull)}", f"#     {pull.why}"]
        return "\n".join(lines) + "\n"


def proposals(checked: Iterable[Checked]) -> Proposals:
    """Collect what the findings propose, sorted by symbol and date; a split seen in two timeframes is one."""
    actions: dict[tuple[str, dt.date], CorporateAction] = {}
    pulls: list[PullRange] = []
    for part in checked:
        for found in part.findings:
            if found.action is not None:
                actions.setdefault((found.action.symbol, found.action.ex_date), found.action)
            pull = _range(part, found)
            if pull is not None:
                pulls.append(pull)
    return Proposals(tuple(actions[key] for key in sorted(actions)), tuple(_merged(pulls)))


def _by_contract(pull: PullRange) -> str:
    return f"{pull.symbol} {pull.timeframe.value}, {pull.first} to {pull.last}: pull it by its contract"


def _range(part: Checked, found: Finding) -> PullRange | None:
    if not found.pull or found.first is None or found.last is None:
        return None
    if part.clock is None or part.timeframe is None:
        return None
    first = part.clock.session_closing_after(found.first.value)
    last = part.clock.session_closing_after(found.last.value - 1)
    if first is None or last is None:
        return None
    return PullRange(found.pull, part.timeframe, first.date, last.date, found.what)


def _merged(pulls: Iterable[PullRange]) -> Iterator[PullRange]:
    """Put ranges of one ticker that share a date into one."""
    open_: PullRange | None = None
    for pull in sorted(pulls, key=lambda one: (one.symbol, one.timeframe, one.first, one.last)):
        if open_ is None:
            open_ = pull
        elif (pull.symbol, pull.timeframe) == (open_.symbol, open_.timeframe) and pull.first <= open_.last:
            reasons = open_.why if pull.why in open_.why else f"{open_.why}; {pull.why}"
            open_ = replace(open_, last=max(open_.last, pull.last), why=reasons)
        else:
            yield open_
            open_ = pull
    if open_ is not None:
        yield open_

"""Which questions were answered: a pull goes on where it ended, and nobody asks about a weekend twice.

One line of JSON for each answer, appended and flushed to the disk after the bars of it are in the store. A
half-written last line, from a crash, does not count.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from data.errors import BarStoreError
from data.sources.history import Window

_SETTLED_NS = 3_600_000_000_000
"""How long after its end a window may still get bars: what was asked earlier is asked again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked and when (UTC nanoseconds), how many bars came, and what they rest on.

    `basis` is that of `HistorySource.basis`; None in records of before there was one.
    """

    window: Window
    bars: int
    asked_ns: int
    basis: str | None


class PullRecord:
    """The answers of all pulls into one store.

    Parameters
    ----------
    path
        The file; made with the first answer.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._answered: dict[tuple[str, ...], list[Answer]] = {}
        for line in self._lines():
            try:
                row = json.loads(line)
                key, window = tuple(row["of"]), Window(row["start"], row["end"])
                answer = Answer(window, int(row["bars"]), int(row["asked"]), row.get("basis"))
            except (ValueError, KeyError, TypeError):
                continue  # a line cut short: its window is asked again
            self._answered.setdefault(key, []).append(answer)

    def answer(self, key: tuple[str, ...], window: Window) -> Answer | None:
        """Return the answer that covers a window, None if it has to be asked."""
        for answer in reversed(self._answered.get(key, [])):
            if answer.window.start_ns <= window.start_ns and window.end_ns <= answer.window.end_ns:
                return answer
        return None

    def asked_since(self, ns: int) -> list[tuple[str, int]]:
        """Return which source was asked when (UTC nanoseconds), from a moment on, oldest first."""
        found = [
            (str(key[0]), one.asked_ns)
            for key, answers in self._answered.items()
            for one in answers
            if one.asked_ns >= ns
        ]
        return sorted(found, key=lambda asked: asked[1])

    def add(self, key: tuple[str, ...], window: Window, bars: int, now_ns: int, basis: str = "") -> None:
        """Take note of an answer; one about a time that is hardly over is not kept.

        Raises
        ------
        BarStoreError
            If the file cannot be written; the bars are stored all the same.
        """
        if window.end_ns + _SETTLED_NS > now_ns:
            return
        row = {"of": key, "start": window.start_ns, "end": window.end_ns, "bars": bars, "asked": now_ns}
        row["basis"] = basis
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            whole = not self._path.exists() or self._path.read_bytes()[-1:] in (b"", b"\n")
            with self._path.open("a", encoding="utf-8") as file:
                file.write(("" if whole else "\n") + json.dumps(row, separators=(",", ":")) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise BarStoreError(
                f"record of pulls {self._path}: {error.strerror or error}; free the disk, then pull again"
            ) from error
        self._answered.setdefault(key, []).append(Answer(window, bars, now_ns, basis))

    def _lines(self) -> list[str]:
        try:
            return self._path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise BarStoreError(f"record of pulls {self._path}: {error}; repair or remove it") from error

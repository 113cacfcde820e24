"""The floor: an asyncio server that cuts the same frames and answers with prepared bytes, nothing else.

``python -m infrastructure.bench.servers ANSWERS`` prints its port. `ANSWERS` is a JSON file of hexadecimal
answers by message id; a message without one is read and ignored.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Final, cast

from infrastructure.bench.wire import GREETING, VERSION, Frames, message

_HELLO: Final = message(f"{VERSION}|20180102 09:30:00 US/Eastern")
_WELCOME: Final = message("15|1|DU0000001") + message("9|1|1")


class PreparedServer(asyncio.Protocol):
    """Answers each message with prepared bytes, all messages of one segment in one write."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers
        self._frames = Frames()
        self._greeted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take up a connection."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer the greeting, and what a segment completes."""
        if not self._greeted:
            self._greeted = True
            self._transport.write(_HELLO)
            data = data.removeprefix(GREETING)
        answers = self._answers
        answer = b"".join(answers.get(text[: text.find(b"\0") + 1], b"") for text in self._frames.feed(data))
        if answer:
            self._transport.write(answer)


async def serve(answers: dict[bytes, bytes]) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: PreparedServer(answers), "127.0.0.1", 0)
    print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def write_answers(path: Path, answers: dict[bytes, bytes]) -> None:
    """Write the file that the server reads; keys are message ids with their closing NUL."""
    texts = {key.decode().rstrip("\0"): value.hex() for key, value in answers.items()}
    path.write_text(json.dumps(texts), encoding="utf-8")


def main() -> None:
    """Serve the answers of the file named on the command line."""
    texts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answers = {key.encode() + b"\0": bytes.fromhex(text) for key, text in texts.items()}
    asyncio.run(serve({b"71\0": _WELCOME, **answers}))


if __name__ == "__main__":
    main()

"""Beside a simulated gateway: control the running one, list what can go wrong, read its frame journals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from infrastructure.cli import options as o

if TYPE_CHECKING:
    from pathlib import Path

_Journal = Annotated[str, typer.Argument(metavar="FILE", help="A frame journal, as --frames writes it.")]


def register(group: typer.Typer) -> None:
    """Add the subcommands."""
    o.add(group, control)
    o.add(group, faults)
    frames = typer.Typer(help="Read, compare and replay journals of frames.", no_args_is_help=True)
    for command in (show, diff, replay):
        o.add(frames, command)
    group.add_typer(frames, name="frames")


def control(
    where: Annotated[str, typer.Argument(metavar="PATH", help="Control socket, or the state folder.")],
    command: Annotated[str, typer.Argument(metavar="COMMAND", help="What to do, such as status.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[VALUE|KEY=VALUE]...", help="Arguments of the command.")
    ] = None,
    as_json: o.Json = False,
) -> None:
    """Send a command to a running simulated gateway and print its answer.

    Time:
      trade gateway control var/gw status
      trade gateway control var/gw pause
      trade gateway control var/gw step 5
      trade gateway control var/gw speed 60
      trade gateway control var/gw jump 2018-01-05T10:00:00

    What goes wrong, and what happens to orders:
      trade gateway control var/gw fault nightly_reset
      trade gateway control var/gw orders
      trade gateway control var/gw correct price=101.5
      trade gateway control var/gw bust
      trade gateway control var/gw split SPXSIM 2
      trade gateway control var/gw restart keep_state=false
    """
    from infrastructure.gateway_control import send

    answer = send(where, command, arguments or [])
    if as_json:
        o.print_json(answer)
    else:
        o.print_pairs(command, answer)


def faults(
    show_name: Annotated[
        str | None, typer.Option("--show", metavar="NAME", help="Print the script of a preset.")
    ] = None,
    as_json: o.Json = False,
) -> None:
    """List the faults that --faults and control take: presets, and the actions scripts are made of.

    A script is a YAML file of rules; each preset is one, and the best start for your own:
      trade gateway faults
      trade gateway faults --show nightly_reset > mine.yaml
      trade gateway --faults mine.yaml
    """
    from backtesting.gateway.faults.script import PRESETS, load_preset, preset_about, preset_names
    from backtesting.gateway.faults.table import catalogue

    if show_name is not None:
        load_preset(show_name)  # one clear line for a name that is none
        typer.echo((PRESETS / f"{show_name}.yaml").read_text(encoding="utf-8"), nl=False)
        return
    presets: list[dict[str, Any]] = [{"name": name, "about": preset_about(name)} for name in preset_names()]
    actions: list[dict[str, Any]] = [dict(row) for row in catalogue()]
    if as_json:
        o.print_json({"presets": presets, "actions": actions})
        return
    o.print_table("presets: --faults NAME", presets)
    o.print_table("actions of a script", actions)


def show(
    file: _Journal,
    client: Annotated[int | None, typer.Option(metavar="ID", help="Only frames of this client.")] = None,
    message: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only messages of this name; repeatable.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show every field, empty ones too.")] = False,
) -> None:
    """Print a frame journal as text, a line a frame.

    trade gateway frames show frames.jsonl
    trade gateway frames show frames.jsonl --client 1 --message placeOrder --message orderStatus
    """
    from backtesting.gateway import frame_views
    from backtesting.gateway.frame_journal import read_frames

    for line in frame_views.show(read_frames(_path(file)), client=client, names=message or (), full=full):
        typer.echo(line)


def diff(left: _Journal, right: _Journal, as_json: o.Json = False) -> None:
    """Compare two frame journals, times and the gateway's own numbers apart; leave with 1 if they differ.

    Frames are compared client by client and order by order.
      trade gateway frames diff yesterday.jsonl today.jsonl
    """
    from backtesting.gateway import frame_views
    from backtesting.gateway.frame_journal import read_frames

    found = frame_views.diff(read_frames(_path(left)), read_frames(_path(right)))
    _tell(found, as_json=as_json)


def replay(
    file: _Journal,
    host: Annotated[str, typer.Option(help="Where the gateway listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Its port.")] = 4002,
    as_recorded: Annotated[
        bool, typer.Option("--as-recorded", help="Keep the pauses of the journal.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Send what the clients of a journal sent to a gateway, and compare the answers; 1 if they differ.

    The gateway must stand where the journal's did: start one with the same bars and options.
      trade gateway frames replay frames.jsonl --port 4002
    """
    import asyncio

    from backtesting.gateway import frame_replay
    from backtesting.gateway.frame_journal import read_frames
    from infrastructure.errors import GatewayUnreachableError

    frames = list(read_frames(_path(file)))
    try:
        done = asyncio.run(frame_replay.replay(frames, host, port, as_recorded=as_recorded))
    except OSError as error:
        raise GatewayUnreachableError(
            f"no gateway listens on {host}:{port} ({error.strerror or error}): start one, or name its --port"
        ) from error
    _tell(done.difference, as_json=as_json)


def _path(text: str) -> Path:
    from pathlib import Path

    return Path(text)


def _tell(found: Any, *, as_json: bool) -> None:
    if as_json:
        o.print_json(
            {
                "equal": found.equal,
                "compared": found.compared,
                "first": found.first,
                "only_left": dict(found.only_left),
                "only_right": dict(found.only_right),
            }
        )
    else:
        for line in found.lines():
            typer.echo(line)
    raise typer.Exit(0 if found.equal else 1)

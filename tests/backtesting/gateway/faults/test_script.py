"""Fault scripts: what can be written, and how mistakes are told."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import ib_insync as ibi
import pytest

from backtesting.gateway.faults.errors import FaultActionError, FaultScriptError
from backtesting.gateway.faults.script import load_preset, load_script, parse_rule, parse_script
from backtesting.gateway.faults.table import ACTIONS, catalogue

AAA = ibi.Stock("AAA", "SMART", "USD")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules: [", "script: is not YAML"),
        ("- drop", "script: start with `rules:`"),
        ("{rule: []}", "script: key 'rule' is not known; did you mean 'rules'?; keys are seed, rules, about"),
        ("{seed: x, rules: []}", "key 'seed': give a whole number"),
        ("{rules: []}", "key 'rules': give a list of rules"),
        ("rules: [drop]", "script, rule 1: write a mapping with when and do"),
        ("rules: [{do: drop}]", "rule 1: key 'when' is missing: add it"),
        ("rules: [{when: {event: start}}]", "rule 1: key 'do' is missing: add it"),
        (
            "rules: [{when: {event: start}, do: accept, nme: x}]",
            "key 'nme' is not known; did you mean 'name'?",
        ),
        ("rules: [{when: {event: start}, do: accept, name: 3}]", "key 'name': give a text"),
        ("rules: [{when: start, do: accept}]", "key 'when': write a mapping"),
        ("rules: [{when: {mesage: error}, do: drop}]", "key 'mesage' is not known; did you mean 'message'?"),
        (
            "rules: [{when: {message: orderState}, do: drop}]",
            "no message is called 'orderState'; did you mean",
        ),
        (
            "rules: [{when: {message: 3}, do: drop}]",
            "add direction in or out, or write its name: placeOrder, ord",
        ),
        ("rules: [{when: {message: error, direction: in}, do: drop}]", "error passes outwards only"),
        ("rules: [{when: {message: orderStatus, status: Filed}, do: drop}]", "did you mean 'Filled'?"),
        (
            "rules: [{when: {message: error, status: Filled}, do: drop}]",
            "status narrows orderStatus and openOrder",
        ),
        ("rules: [{when: {message: orderStatus, code: 3}, do: drop}]", "code narrows the message error only"),
        (
            "rules: [{when: {message: error, symbol: A}, do: drop}]",
            "symbol narrows messages that hold a contract",
        ),
        ("rules: [{when: {message: error, fields: {cod: 1}}, do: drop}]", "field 'cod' is not known of this"),
        ("rules: [{when: {message: error, nth: 0}, do: drop}]", "key 'nth': must be 1 or more"),
        (
            "rules: [{when: {message: error, nth: yes}, do: drop}]",
            "key 'nth': Input should be a valid integer",
        ),
        ("rules: [{when: {message: error, probability: 2}, do: drop}]", "must be from 0 to 1"),
        ("rules: [{when: {message: error, event: start}, do: drop}]", "make two rules"),
        ("rules: [{when: {client: 3}, do: accept}]", "say when: one of message, event, at, after"),
        (
            "rules: [{when: {event: start, nth: 3}, do: accept}]",
            "nth narrows a message: name the message too",
        ),
        ("rules: [{when: {event: start, fields: {2: 3}}, do: accept}]", "fields narrows a message"),
        ("rules: [{when: {at: noon}, do: accept}]", "key 'at': Invalid isoformat"),
        ("rules: [{when: {after: {}}, do: accept}]", "key 'after': give rule, or one of steps"),
        ("rules: [{when: {after: {rule: x}}, do: accept}]", "no rule is called 'x'"),
        ("rules: [{when: {event: start}, do: acept}]", "no action is called 'acept'; did you mean 'accept'?"),
        ("rules: [{when: {event: start}, do: {rst: 1, fin: 2}}]", "write an action as its name"),
        ("rules: [{when: {event: start}, do: {accept: 1}}]", "accept takes a mapping with no parameters"),
        ("rules: [{when: {event: start}, do: drop}]", "drop is done to a message: name it in when"),
        ("rules: [{when: {message: placeOrder}, do: split}]", "split is done to messages that pass outwards"),
        (
            "rules: [{when: {message: error}, do: {delay: {step: 1}}}]",
            "'step' is not known; did you mean 'steps'?",
        ),
        ("rules: [{when: {message: error}, do: delay}]", "give one of steps, seconds (simulated) or wall"),
        ("rules: [{when: {message: error}, do: {corrupt: {flip: 1, field: 2}}}]", "give flip"),
        ("rules: [{when: {message: error}, do: {split: 0}}]", "size must be 1 or more"),
        ("rules: [{when: {message: error}, do: {reorder: nothing}}]", "no message is called 'nothing'"),
        ("rules: [{when: {message: error}, do: reorder}]", "key 'after' is missing: add it"),
        ("rules: [{when: {event: start}, do: {farm: 99}}]", "notice 99 is none of 2103"),
        ("rules: [{when: {event: start}, do: {time: {}}}]", "give one of do, steps, to, speed"),
        (
            "rules: [{name: a, when: {event: start}, do: note}, {name: a, when: {event: step}, do: note}]",
            "rule 2: key 'name': 'a' is taken",
        ),
    ],
)
def test_a_mistake_is_told_with_rule_key_and_remedy(text: str, told: str) -> None:
    with pytest.raises(FaultScriptError) as caught:
        parse_script(text)
    assert told in str(caught.value)


def test_files_and_presets_that_are_missing_are_told(tmp_path: Path) -> None:
    with pytest.raises(FaultScriptError, match="cannot be read"):
        load_script(tmp_path / "none.yaml")
    with pytest.raises(FaultScriptError, match="did you mean 'duplicate'"):
        load_preset("duplicat")
    path = tmp_path / "bad.yaml"
    path.write_text("rules: [{when: {event: start}, do: acept}]")
    with pytest.raises(FaultScriptError, match=r"bad.yaml, rule 1, key 'do'"):
        load_script(path)


def test_the_catalogue_describes_every_action() -> None:
    rows = {row["name"]: row for row in catalogue()}
    assert set(rows) == set(ACTIONS)
    assert all(len(row["text"]) > 20 for row in rows.values())
    assert "size=1" in rows["split"]["parameters"]


def test_a_rule_tells_itself() -> None:
    rule = parse_rule({"when": {"message": "error", "nth": 2}, "do": [{"duplicate": 3}, "rst"]}, "rule")
    assert rule.told() == "when message='error', nth=2: duplicate(times=3), rst()"


SCRIPT = """
seed: {seed}
rules:
  - {{when: {{message: managedAccounts, probability: 0.5}}, do: drop}}
  - {{when: {{message: nextValidId, probability: 0.3}}, do: duplicate}}
  - {{name: third, when: {{message: reqIds, nth: 3}}, do: note}}
  - {{when: {{message: nextValidId, after: {{rule: third}}, every: 2, times: 2}}, do: note}}
"""


async def traced(rigged: Any, seed: int) -> list[str]:
    async with rigged(SCRIPT.format(seed=seed)) as rig:
        client = await rig.wire()
        for _ in range(10):
            client.send(17, 1)
            client.send(8, 1, 1)
        client.send(61, 1)
        await client.until("62")
        return list(rig.engine.trace)


async def test_the_same_seed_gives_the_same_trace_and_another_one_another(rigged: Any) -> None:
    first = await traced(rigged, 1)
    assert first == await traced(rigged, 1)
    assert first != await traced(rigged, 2)
    notes = [line for line in first if "note" in line]
    assert len(notes) == 3
    assert notes[0] == "step 0 third: note() client 1 in reqIds"


async def test_chance_is_drawn_from_the_seed_only(rigged: Any) -> None:
    random.seed(1)
    first = await traced(rigged, 5)
    random.seed(2)
    assert first == await traced(rigged, 5)


async def test_rules_wait_for_times_events_and_other_rules(rigged: Any) -> None:
    script = """
rules:
  - {name: noon, when: {at: 2018-01-03 12:00}, do: note}
  - {name: quoted, when: {at: "2018-01-03T12:00:00+00:00"}, do: note}
  - {name: later, when: {after: {steps: 3}}, do: note}
  - {name: after noon, when: {after: {rule: noon, seconds: 60}}, do: note}
  - {name: joined, when: {event: join, client: 7}, do: note}
  - {name: stepped, when: {event: step, times: 2}, do: note}
  - {name: gone, when: {event: disconnect}, do: note}
  - {name: from noon, when: {message: reqIds, at: 2018-01-03 12:00, client: 1}, do: note}
"""
    async with rigged(script) as rig:
        ib = await rig.ib(7)
        await rig.step(ib, 4)
        client = await rig.wire(1)
        client.send(8, 1, 1)
        await client.until("9")
        await client.close()
        while len(rig.server.service.connections) > 1:
            await rig.step(ib, 0)
            await asyncio.sleep(0.001)
        played = [
            line.split(" ", 2)[1] + " " + line.split(" ", 2)[2].split(":")[0] for line in rig.engine.trace
        ]
    assert played == [
        "0 joined",
        "1 stepped",
        "2 quoted",
        "2 noon",
        "2 stepped",
        "3 later",
        "3 after noon",
        "3 from noon",
        "3 gone",
    ]


async def test_a_message_can_be_told_apart_by_its_fields(rigged: Any) -> None:
    script = """
rules:
  - {when: {message: openOrder, symbol: BBB, status: Submitted}, do: note}
  - {when: {message: placeOrder, fields: {action: SELL, 3: BBB}, order: 4}, do: note}
  - {when: {message: error, code: 2104}, do: {error: {code: 2108, text: and so on}}}
  - {when: {message: 9, direction: out, nth: 2}, do: {message: [9, 1, 99]}}
"""
    async with rigged(script) as rig:
        errors: list[int] = []
        ib = await rig.ib(7)
        ib.errorEvent += lambda _n, code, _t, _c: errors.append(code)
        ib.placeOrder(ibi.Stock("BBB", "SMART", "USD"), ibi.LimitOrder("BUY", 1, 1))
        ib.placeOrder(AAA, ibi.LimitOrder("SELL", 1, 200))
        await ib.reqPositionsAsync()
        assert sum("note" in line for line in rig.engine.trace) >= 1
        client = await rig.wire(3, welcome=False)
        assert ["4", "2", "-1", "2108", "and so on", ""] in await client.until("4", "2", "-1", "2158")


async def test_an_action_that_cannot_be_done_is_noted_and_nobody_suffers(rigged: Any) -> None:
    manual = "{manual_order: {symbol: X, quantity: 1}}"
    script = f"rules: [{{when: {{message: reqIds}}, do: [bust, manual_cancel, {manual}]}}]"
    async with rigged(script) as rig:
        client = await rig.wire()
        client.send(8, 1, 1)
        await client.until("9")
        client.send(17, 1)
        await client.until("15")
        failed = [line for line in rig.engine.trace if "failed" in line]
    assert len(failed) == 3
    assert "no execution today" in failed[0]
    assert "no such live order" in failed[1]


async def test_actions_are_for_clients_that_are_there(rigged: Any) -> None:
    async with rigged("rules: [{when: {event: start}, do: note}]") as rig:
        with pytest.raises(FaultActionError, match="client 3 is not connected: nobody is"):
            rig.engine.fire([ACTIONS["rst"](client=3)])  # type: ignore[call-arg]
        with pytest.raises(FaultActionError, match="no rule is called 'x'; in force: rule 1"):
            rig.engine.remove("x")
        rig.engine.remove("rule 1")
        assert rig.engine.rules == []


def test_a_script_cannot_stand_for_more_than_it_is(tmp_path: Path) -> None:
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\nrules: [*b]\n"
    with pytest.raises(FaultScriptError, match="are not taken: write it out"):
        parse_script(bomb)
    with pytest.raises(FaultScriptError, match=r"is no script|is not YAML"):
        parse_script("rules: " + "[" * 20_000)
    path = tmp_path / "huge.yaml"
    path.write_text("rules:\n" + "# nothing\n" * 100_000)
    with pytest.raises(FaultScriptError, match="is longer than 262144 characters"):
        load_script(path)
    with pytest.raises(FaultScriptError, match="did you mean 'duplicate'"):
        parse_script("rules: [{when: {message: error}, do: duplicat}]")
    with pytest.raises(FaultScriptError, match="give lasts"):
        parse_script("rules: [{when: {event: start}, do: {refuse: {how: unreachable, connections: 2}}}]")

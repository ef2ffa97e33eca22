"""Bad input: each kind gets its documented answer, is counted, and disturbs nobody else."""

import struct
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from config.metrics import REGISTRY
from models.play.repo import PlayRepo
from tests.flows.client import OPEN, Client, RefusedError, connected
from tests.flows.test_play import fist, play, start_of
from tests.serving import Served

GOOD = fist(1).messages(2)[0].payload


def changed(offset: int, code: str, value: int) -> bytes:
    """Return a frame message with one header field changed."""
    message = bytearray(GOOD)
    struct.pack_into(code, message, offset, value)
    return bytes(message)


BAD_MESSAGES: dict[str, tuple[bytes, str]] = {
    "magic": (changed(0, "<H", 0x1234), "invalid"),
    "version": (changed(2, "<B", 9), "unsupported_version"),
    "space": (changed(3, "<B", 1), "invalid"),
    "no records": (changed(4, "<H", 0)[:24], "invalid"),
    "n = 0": (changed(4, "<H", 0), "invalid"),
    "n = 65": (changed(4, "<H", 65), "invalid"),
    "record size": (changed(6, "<H", 7), "invalid"),
    "cut short": (GOOD[:-1], "invalid"),
    "too long": (GOOD + b"\0", "invalid"),
    "empty": (b"", "invalid"),
}


def counted(name: str, **labels: str) -> float:
    """Return a counter's value."""
    return REGISTRY.get_sample_value(f"gemgem_{name}_total", labels) or 0.0


@pytest.mark.parametrize("kind", BAD_MESSAGES)
async def test_a_bad_frame_message_is_refused_and_takes_its_number(
    served: Served, repo: PlayRepo, kind: str
) -> None:
    payload, code = BAD_MESSAGES[kind]
    before = counted("messages_refused", code=code)
    async with connected(served.url, "/game", served.token("guardian", "child-1")) as client:
        session_id = (await client.open())["session_id"]
        await client.say("frames", 0, GOOD)
        await client.say("frames", 1, payload)
        await client.say("frames", 2, GOOD)
        refused = await client.until("refused")
        assert (refused["seq"], refused["code"]) == (1, code)
        await client.until("ack", lambda a: a["stored"] == 2)
        assert not client.all("gap")
    assert counted("messages_refused", code=code) == before + 1
    assert [seq async for seq, _ in repo.iter_frames(session_id)] == [0, 2]
    [void] = [e async for e in repo.iter_events(session_id)]
    assert (void["seq"], void["event"], void["code"]) == (1, "void", code)


async def test_absurd_landmarks_are_verdicts_not_errors(served: Served) -> None:
    played = fist(1)
    async with connected(served.url, "/game", served.token("guardian", "child-1")) as client:
        await client.open()
        await client.ok("set:start", 0, start_of(played))
        # Nine i16 extremes: the palm is then far larger than any hand.
        wild = GOOD[:24] + b"".join(
            GOOD[24 + 140 * n : 24 + 140 * n + 14] + b"\xff\x7f\x01\x80" * 31 + b"\xff\x7f"
            for n in range(2)
        )
        await client.say("frames", 1, wild)
        record = (await client.ok("set:end", 2, {"set_no": 1}))["record"]
        assert record["verdicts"]["range"] + record["verdicts"]["palm_size"] > 0
        assert record["verdicts"]["accepted"] == 0
        assert record["grade"] is None


async def test_a_hole_is_told_once_and_a_repeat_is_ignored(served: Served) -> None:
    async with connected(served.url, "/game", served.token("guardian", "child-1")) as client:
        await client.open()
        for seq in (0, 1, 1, 0, 5, 6, 7):
            await client.say("frames", seq, GOOD)
        assert await client.until("gap") == {"expected": 2}
        assert await client.code("set:end", 9, {"set_no": 1}) == "gap"
        for seq in (2, 3, 4):
            await client.say("frames", seq, GOOD)
        await client.until("ack", lambda a: a["stored"] == 4)
        assert client.all("gap") == [[{"expected": 2}]]
        await client.say("frames", 8, GOOD)
        await client.until("gap", lambda g: g["expected"] == 5)


def no_seq(client: Client) -> tuple[Any, ...]:
    return ("set:start", start_of(fist(1)))


FAULTS: dict[str, tuple[Callable[[Client], tuple[Any, ...]], str]] = {
    "unknown event": (lambda _: ("set:begin", 0, {}), "invalid"),
    "reserved event": (lambda _: ("connect", {}), "invalid"),
    "disconnect as an event": (lambda _: ("disconnect", {}), "invalid"),
    "no number": (no_seq, "invalid"),
    "a number that is none": (lambda _: ("set:end", True, {"set_no": 1}), "invalid"),
    "a negative number": (lambda _: ("set:end", -1, {"set_no": 1}), "invalid"),
    "before session:open": (lambda _: ("set:start", 0, start_of(fist(1))), "conflict"),
    "a payload with an unknown field": (
        lambda _: ("session:open", {**OPEN, "child_id": "c", "client_key": str(uuid4()), "x": 1}),
        "invalid",
    ),
    "a payload without a field": (lambda _: ("session:open", {"child_id": "c"}), "invalid"),
    "a payload that is none": (lambda _: ("session:open", "hello"), "invalid"),
    "a child that is not theirs": (
        lambda _: ("session:open", {**OPEN, "child_id": "other", "client_key": str(uuid4())}),
        "not_found",
    ),
}


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_faulty_event_is_answered(served: Served, kind: str) -> None:
    event, code = FAULTS[kind]
    before = counted("events_refused", namespace="/game", code=code)
    async with connected(served.url, "/game", served.token("guardian", "child-1")) as client:
        assert await client.code(*event(client)) == code
        assert counted("events_refused", namespace="/game", code=code) == before + 1
        await client.ok("clock", {"t_us": 1})


async def test_frames_before_opening_are_refused(served: Served) -> None:
    async with connected(served.url, "/game", served.token("guardian", "child-1")) as client:
        await client.say("frames", 0, GOOD)
        assert (await client.until("refused"))["code"] == "conflict"


async def test_what_does_not_fit_the_state_is_refused_and_kept(served: Served) -> None:
    played = fist(1)
    async with connected(served.url, "/game", served.token("guardian", "child-1")) as client:
        await client.open()
        assert await client.code("set:end", 0, {"set_no": 1}) == "conflict"
        await client.ok("set:start", 1, start_of(played, 3))
        assert await client.code("set:start", 2, start_of(played, 4)) == "conflict", "a second one"
        assert await client.code("set:end", 3, {"set_no": 9}) == "conflict", "another set's number"
        await client.ok("set:end", 4, {"set_no": 3})
        assert await client.code("set:start", 5, start_of(played, 2)) == "conflict", "not higher"
        unknown = {**start_of(played, 5), "motion": "juggle"}
        assert await client.code("set:start", 6, unknown) == "invalid"
        malformed = {**start_of(played, 5), "side": "both"}
        assert await client.code("set:start", 7, malformed) == "invalid"
        result = await client.ok("session:close", 8, {"reason": "done"})
        assert len(result["sets"]) == 1
        assert result["messages"] == 9


async def test_who_asks_for_no_answer_is_told_by_an_event(served: Served) -> None:
    async with connected(served.url, "/game", served.token("guardian", "child-1")) as client:
        await client.open()
        await client.say("set:end", 0, {"set_no": 1})
        assert (await client.until("refused", lambda r: r["seq"] == 0))["code"] == "conflict"
        await client.say("set:start", 1, {"set_no": "one"})
        assert (await client.until("refused", lambda r: r["seq"] == 1))["code"] == "invalid"


async def test_an_oversized_message_closes_only_its_own_connection(served: Served) -> None:
    async with connected(served.url, "/game", served.token("guardian", "child-2", sub="b")) as calm:
        await calm.open("child-2")
        async with connected(served.url, "/game", served.token("guardian", "child-1")) as wild:
            await wild.open()
            await wild.say("frames", 0, b"x" * 300_000)
            for _ in range(100):
                if not wild.sio.connected:
                    break
                await wild.sio.sleep(0.02)
            assert not wild.sio.connected
        _, record = await play(calm, fist(1), 0)
        assert record["metrics"]["reps_full"] + record["metrics"]["reps_partial"] == 1


@pytest.mark.parametrize(
    ("namespace", "role", "kind", "code"),
    [
        ("/game", "guardian", "none", "unauthenticated"),
        ("/game", "guardian", "rubbish", "unauthenticated"),
        ("/game", "guardian", "expired", "unauthenticated"),
        ("/game", "guardian", "other issuer", "unauthenticated"),
        ("/game", "therapist", "good", "forbidden"),
        ("/watch", "child", "good", "forbidden"),
    ],
)
async def test_a_wrong_token_is_refused_with_its_code(
    served: Served, namespace: str, role: str, kind: str, code: str
) -> None:
    more: dict[str, Any] = {"child_id": "child-1"} if role == "child" else {}
    token: str | None = {
        "none": lambda: None,
        "rubbish": lambda: "not.a.token",
        "expired": lambda: served.token(role, "*", ttl_s=-60),
        "other issuer": lambda: served.token(role, "*", issuer="elsewhere"),
        "good": lambda: served.token(role, "*", **more),
    }[kind]()
    with pytest.raises(RefusedError) as refused:
        async with connected(served.url, namespace, token):
            pass
    assert refused.value.reason["data"]["code"] == code
    assert refused.value.reason["message"]


async def test_polling_and_unknown_namespaces_are_refused(served: Served) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{served.url}/socket.io/?EIO=4&transport=polling") as answer,
    ):
        assert answer.status == 400
    with pytest.raises(RefusedError):
        async with connected(served.url, "/admin", served.token("guardian", "*")):
            pass

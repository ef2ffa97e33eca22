"""The reader of packets: what the library writes is read back, and nothing makes it stumble."""

import json
import random

import pytest
from socketio import packet as library

from server.realtime.packets import (
    BINARY_EVENT,
    Bounds,
    ContentError,
    Packet,
    PacketError,
    Reader,
    complete,
)

READER = Reader(Bounds(depth=32, length=10_000, parts=8))


def read(text: str, *parts: bytes) -> Packet:
    """Read a packet with its parts."""
    packet, rest = READER.head(text)
    READER.fill(packet, rest)
    assert packet.due == len(parts)
    packet.parts.extend(parts)
    if parts:
        complete(packet)
    return packet


@pytest.mark.parametrize("namespace", ["/", "/game"])
@pytest.mark.parametrize("number", [None, 0, 7, 10**14])
@pytest.mark.parametrize(
    "data",
    [
        ["clock", {"t_us": 1}],
        ["frames", 3, b"\x01\x02"],
        ["frames", 3, {"a": [b"x", {"b": b"y"}]}, b"z"],
        ["한글", "이모지 🙂", -1.5e-300, 2**63, True, None, {"_placeholder": False}],
        ["x"],
    ],
)
def test_what_the_library_sends_is_read(
    namespace: str, number: int | None, data: list[object]
) -> None:
    sent = library.Packet(library.EVENT, namespace=namespace, id=number, data=data).encode()
    text, *parts = sent if isinstance(sent, list) else [sent]
    packet = read(text, *parts)
    assert (packet.namespace, packet.id, packet.data) == (namespace, number, data)
    assert packet.kind == (BINARY_EVENT if parts else library.EVENT)


def test_connects_are_read_with_and_without_what_they_carry() -> None:
    assert read("0").namespace == "/"
    assert read("0/game").namespace == "/game"
    assert read('0/game?token=x,{"token":"y"}').data == {"token": "y"}
    assert read("0/game?token=x,").namespace == "/game"
    assert read("1/game,").kind == library.DISCONNECT


@pytest.mark.parametrize("levels", [1, 31, 32])
def test_nesting_up_to_the_limit_is_taken(levels: int) -> None:
    # The event's own list is the first level.
    assert read(
        '2["x"' + "," + "[" * (levels - 1) + "]" * (levels - 1) + "]" if levels > 1 else '2["x"]'
    )


@pytest.mark.parametrize("levels", [33, 34, 100, 5000, 200_000])
def test_nesting_beyond_it_is_not(levels: int) -> None:
    for left, right in (("[", "]"), ('{"a":[', "]}")):
        text = '2["x",' + left * levels + right * levels + "]"
        with pytest.raises(ContentError):
            read(text)


def test_random_rubbish_is_refused_or_read_and_never_stumbled_over() -> None:
    rng = random.Random(1)
    good = [
        '2/game,17["clock",{"t_us":1}]',
        '51-/game,["frames",1,{"_placeholder":true,"num":0}]',
        '0/game,{"token":"x"}',
        "1/game,",
        '3/game,1["ok"]',
        '2/game,["x",1e308,2e307,"\\ud83d\\ude00"]',
    ]
    alphabet = '0123456789-/,[]{}":tfn_e\\u²x. ' + "\0\ud800"
    outcomes = {"read": 0, "packet": 0, "content": 0}
    for _ in range(20_000):
        text = list(rng.choice(good))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(text) + 1)
            text[at : at + rng.randint(0, 2)] = rng.choice(alphabet)
        try:
            packet, rest = READER.head("".join(text))
            READER.fill(packet, rest)
            if packet.due:
                packet.parts.extend([b"x"] * packet.due)
                complete(packet)
            json.dumps(packet.data, default=bytes.hex)
            outcomes["read"] += 1
        except PacketError:
            outcomes["packet"] += 1
        except ContentError:
            outcomes["content"] += 1
    assert all(outcomes.values()), outcomes

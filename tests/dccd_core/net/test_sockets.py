"""The way to a WebSocket: the user's address, and a budget of connections that all processes share."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from dccd_core.adapter.contract import Limit
from dccd_core.domain.errors import Banned, ConfigError
from dccd_core.domain.timespan import DAY, HOUR, Us
from dccd_core.exchanges import get
from dccd_core.net.clock import ManualClock
from dccd_core.net.sockets import dialled, open_sockets, rebased
from dccd_core.testing.sandbox.process import running_sandbox
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind

NOW = Us(20_000 * DAY)


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path))


def test_the_venues_path_follows_the_users_address() -> None:
    with running_sandbox() as box:

        async def go() -> bytes:
            with open_sockets(get("binance"), ws_url=box.ws_url("binance")) as connect:
                async with connect("wss://stream.binance.com:9443/stream") as socket:
                    await socket.send(b'{"method":"LIST_SUBSCRIPTIONS","id":3}')
                    return (await socket.receive())[0][0]

        assert b'"id":3' in asyncio.run(go())
        assert box.stats().streams["binance"].opened == 1


def test_connections_are_paid_for_from_one_budget() -> None:
    """Two ways at once, as of two processes: three connections an hour are allowed in all."""
    venue = get("binance")
    assert venue.live
    venue = replace(venue, live=replace(venue.live, connects=Limit(3, HOUR)))
    clock = ManualClock(NOW)
    with running_sandbox() as box:

        async def go() -> list[Us]:
            moments: list[Us] = []
            url = box.ws_url("binance")
            with (
                open_sockets(venue, ws_url=url, clock=clock) as one,
                open_sockets(venue, ws_url=url, clock=clock) as other,
            ):
                for connect in (one, other, one, other):
                    async with connect("wss://stream.binance.com:9443/stream"):
                        moments.append(clock.now())
            return moments

        moments = asyncio.run(go())
    assert moments[2] < NOW + HOUR <= moments[3]


def test_a_ban_holds_for_everybody() -> None:
    with running_sandbox() as box:
        box.stream_faults([StreamFault(kind=StreamFaultKind.REFUSE, status=403, first=1)])

        async def opened(clock: ManualClock) -> None:
            with open_sockets(get("binance"), ws_url=box.ws_url("binance"), clock=clock) as connect:
                async with connect("wss://stream.binance.com:9443/stream"):
                    pass

        with pytest.raises(Banned):
            asyncio.run(opened(ManualClock(NOW)))
        clock = ManualClock(NOW)
        asyncio.run(opened(clock))
        assert clock.now() > NOW  # it waited


@pytest.mark.parametrize(
    ("url", "prefix", "instead"),
    [
        ("wss://stream.example.org:9443/stream?x=1", "ws://127.0.0.1:89/b", "ws://127.0.0.1:89/b/stream?x=1"),
        ("wss://ws.example.org", "wss://proxy", "wss://proxy"),
        ("wss://ws.example.org/", "wss://proxy", "wss://proxy/"),
    ],
)
def test_of_a_replaced_address_the_path_stays(url: str, prefix: str, instead: str) -> None:
    assert rebased(url, prefix) == instead


def test_an_exchange_that_pushes_nothing() -> None:
    with pytest.raises(ConfigError, match="BitMEX pushes nothing"), open_sockets(get("bitmex")):
        pass


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (None, "wss://stream.binance.com:9443/stream"),
        ("ws://proxy:8900/binance/", "ws://proxy:8900/binance/stream"),
        ("wss://me:secret@proxy/x", "wss://proxy/x/stream"),
    ],
)
def test_l15_what_is_really_dialled_is_known_but_for_passwords(url: str | None, shown: str) -> None:
    with open_sockets(get("binance"), ws_url=url) as connect:
        assert dialled(connect, "wss://stream.binance.com:9443/stream") == shown

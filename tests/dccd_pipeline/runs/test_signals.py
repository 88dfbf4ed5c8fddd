"""How a process hears that it is to stop."""

import asyncio
import signal

import pytest

from dccd_pipeline.runs.signals import hearing_signals, old_handlers


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_signals_interrupt_and_are_put_back(number: signal.Signals) -> None:
    outside = signal.signal(number, signal.SIG_DFL)  # whoever runs the tests may have it ignored
    try:
        with pytest.raises(KeyboardInterrupt), hearing_signals():
            signal.raise_signal(number)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, outside)


def test_the_handlers_of_signals_are_those_of_before() -> None:
    async def taken() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print)

    def mine(_number: int, _frame: object) -> None: ...

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with old_handlers():
            asyncio.run(taken())
            assert signal.getsignal(signal.SIGTERM) is not mine
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)

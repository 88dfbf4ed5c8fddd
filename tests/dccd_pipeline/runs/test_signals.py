"""How a process hears that it is to stop."""

import os
import signal

import pytest

from dccd_pipeline.runs.signals import hearing_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_signals_interrupt_and_are_put_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), hearing_signals():
        os.kill(os.getpid(), number)
        signal.sigtimedwait([], 5)
    assert signal.getsignal(number) is before

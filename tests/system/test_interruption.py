"""Signals only set a flag; a second Ctrl-C stops at once; handlers are put back."""

import os
import signal
import time

import pytest

from selftaught.system.errors import Interrupted
from selftaught.system.interruption import stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_sets_a_flag_and_says_its_name(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stopping() as stop:
        assert stop.reason is None
        os.kill(os.getpid(), number)
        assert stop.reason == number.name
        with pytest.raises(Interrupted, match=number.name):
            stop.poll()
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_stops_at_once() -> None:
    with stopping() as stop, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.reason == "SIGINT"
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)


def test_a_time_limit_runs_out() -> None:
    with stopping(0.02) as stop:
        assert stop.reason is None
        time.sleep(0.03)
        assert stop.reason == "the time limit"

"""Signals only set a flag; a second Ctrl-C stops at once; handlers are put back."""

import signal

import pytest

from selftaught.system.errors import Interrupted
from selftaught.system.interruption import stopping
from tests.clocks import held


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_sets_a_flag_and_says_its_name(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stopping() as stop:
        assert stop.reason is None
        signal.raise_signal(number)
        assert stop.reason == number.name
        with pytest.raises(Interrupted, match=number.name):
            stop.poll()
    assert signal.getsignal(number) is before


def test_a_terminal_that_goes_away_is_ignored_under_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping() as outer, stopping() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.reason is outer.reason is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_ctrl_c_stops_at_once() -> None:
    with stopping() as stop, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
        assert stop.reason == "SIGINT"
        signal.raise_signal(signal.SIGINT)


def test_a_time_limit_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    time = held(monkeypatch)
    with stopping(60) as stop:
        time.advance(59)
        assert stop.reason is None
        time.advance(1)
        assert stop.reason == "the time limit"

"""What is said of a flag that a command does not have."""

import pytest

from selftaught.commands.helping import unknown

FLAGS = ("--out", "--test", "--device", "--finetune.epochs", "--finetune.lr")


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--accelerator", "here it is --device"),
        ("--learning-rate", "here it is --finetune.lr"),
        ("--max-epochs", "here it is --finetune.epochs"),
        ("--steps", "here passes over the labels are counted: --finetune.epochs"),
        ("--tests", "did you mean '--test'?"),
        ("--zzzz", "see --help-all"),
    ],
)
def test_a_flag_that_there_is_not_is_answered_by_what_is_meant(flag: str, said: str) -> None:
    assert unknown(flag, FLAGS, "--help-all") == f"there is no {flag}; {said}"


def test_time_and_numbers_of_samples_are_answered_as_they_are_written_here() -> None:
    flags = ("--init", "--budget", "--limit", "--sampling-rate")
    for flag, said in {"--minutes": "--budget 10m", "--samples": "--limit 1000"}.items():
        assert unknown(flag, flags, "--help-all") == f"there is no {flag}; here it is {said}"

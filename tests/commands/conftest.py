"""What the commands that go by features are tried on: a few pictures, and an encoder that has learnt nothing."""

from pathlib import Path

import pytest

from tests.commands.finding import drawn, run_of
from tests.networks import HALVED


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="session")
def looking(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on these pictures."""
    return run_of(tmp_path_factory.mktemp("runs") / "run", str(pictures), HALVED)

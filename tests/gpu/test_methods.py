"""Every method on the stand-in card: nothing mixes devices, it learns the very same, and the host waits once a step."""

from pathlib import Path

import pytest
import torch

from tests.gpu import trying
from tests.gpu.card import Held
from tests.jobs import plan_of
from tests.methods.making import PAIRS


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_it_learns_bit_for_bit_what_it_does_on_the_cpu_and_only_the_guard_waits(
    name: str, kind: str, tmp_path: Path
) -> None:
    plan, samples = plan_of(name, kind, tmp_path)
    expected = trying.on_the_cpu(plan, samples)  # first: a teacher is kept, and stays on the card it came to
    found = trying.on_the_card(plan, samples)
    assert found.losses == expected.losses
    assert not any(isinstance(shown, Held) for shown in found.pictures.values())
    assert all(torch.equal(shown, expected.pictures[name]) for name, shown in found.pictures.items())
    assert not found.views
    assert [place.split(":")[0] for _, place in found.step.elements()] == ["training/guards.py"]

"""Every method on the stand-in card: nothing mixes devices, and it learns the very same."""

from pathlib import Path

import pytest

from tests.gpu import trying

EACH = [(name, kind) for kind in ("images", "rows") for name in trying.names(kind)]


@pytest.mark.parametrize(("name", "kind"), EACH)
def test_losses_on_the_card_are_those_of_the_cpu_bit_for_bit(name: str, kind: str, tmp_path: Path) -> None:
    plan, samples = trying.plan_of(name, kind, tmp_path)
    expected = trying.on_the_cpu(plan, samples).losses  # first: a teacher is kept, and stays on the card it came to
    assert trying.on_the_card(plan, samples).losses == expected

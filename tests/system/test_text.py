"""How numbers are said to people."""

import pytest

from selftaught.system.text import rounded


@pytest.mark.parametrize(("number", "said"), [(0.25, "0.25"), (12.54, "12.5"), (999.0, "999"), (2999.7, "3,000")])
def test_a_number_is_said_without_a_power_of_ten(number: float, said: str) -> None:
    assert rounded(number) == said

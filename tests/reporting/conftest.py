"""What tests of pages begin with."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.reporting.browser import chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One for all tests of a module, as it takes longer to start than a page to be gone through."""
    with chromium() as launched:
        yield launched

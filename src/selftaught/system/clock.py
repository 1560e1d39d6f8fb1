"""The clocks that everything runs on; a test puts its own in their place."""

from time import perf_counter as now  # for budgets, deadlines and cadences: it never goes back
from time import time as wall  # seconds since 1970, to compare with the times of files

__all__ = ["now", "wall"]

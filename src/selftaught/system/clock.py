"""The clock that budgets, deadlines and cadences run on; a test puts its own in place of `now`."""

from time import perf_counter as now

__all__ = ["now"]

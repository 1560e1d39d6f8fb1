"""The tests, and the processes that some of them start from this package."""

from selftaught.training.looking import health

# A closer look at the end of hundreds of runs sees its samples in fewer views; no test is about how many they are.
VIEWS, health.VIEWS = health.VIEWS, 3

"""Freed memory is kept: the same large tensors, made again and again, do not ask the system for fresh pages."""

import json
import os
import subprocess
import sys

import pytest

MEASURE = """
import json, resource, sys
import torch
from selftaught.system.allocator import give_back, keep_freed_memory


def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()


if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(20):  # until the heap has found its size
    torch.empty(16_000_000).fill_(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.empty(16_000_000).fill_(1)
faults, held = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, resident()
give_back()
print(json.dumps([faults, held - resident()]))
"""
LARGE = 4 * 16_000_000  # bytes of a tensor there


def measured(how: str, environment: dict[str, str]) -> tuple[int, int]:
    """Pages that were asked for, and bytes that were given back."""
    command = [sys.executable, "-c", MEASURE, how]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told to keep memory")
def test_freed_memory_is_used_again_or_given_back_when_asked() -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    left, _ = measured("leave", plain)
    again, given = measured("keep", plain)
    assert again * 10 < left and given > 0.9 * LARGE
    said_otherwise = {**plain, "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    assert measured("keep", said_otherwise)[0] * 2 > left

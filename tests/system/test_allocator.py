"""Freed memory is kept: the same large tensors, made again and again, do not ask the system for fresh pages."""

import json
import os
import subprocess
import sys

import pytest

MEASURE = """
import json, resource, sys
import torch
from selftaught.system.allocator import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(20):  # until the heap has found its size
    torch.empty(16_000_000).fill_(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.empty(16_000_000).fill_(1)
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before))
"""


def faults(how: str, environment: dict[str, str]) -> int:
    command = [sys.executable, "-c", MEASURE, how]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told to keep memory")
def test_freed_memory_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    left = faults("leave", plain)
    assert faults("keep", plain) * 10 < left
    said_otherwise = {**plain, "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    assert faults("keep", said_otherwise) * 2 > left

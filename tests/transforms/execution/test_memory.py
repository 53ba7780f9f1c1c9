"""Freed memory goes back to the system."""

import subprocess
import sys

import pytest

_TAKEN_AND_FREED = """
import sys
from transforms.execution.memory import give_back

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

held = [bytearray(100_000) for _ in range(2000)]  # too small for blocks of their own
last = held[-1]
before = resident()
del held  # `last` lies above it all
if sys.argv[1] == "back":
    give_back()
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc's")
def test_what_was_freed_goes_back() -> None:
    def freed(word: str) -> int:
        command = [sys.executable, "-c", _TAKEN_AND_FREED, word]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert freed("back") > 150e6
    assert freed("stays") < 50e6

"""What a process and its children hold is seen while they hold it."""

import subprocess
import sys

from bclip_core.reproduce.memory import PeakMemory

HOLD = """
import sys
held = bytearray(b"x" * (200 << 20))
print(len(held), flush=True)
sys.stdin.readline()
"""


def test_the_memory_of_children_is_part_of_the_peak_and_stays_in_it():
    with PeakMemory() as memory:
        before = memory.peak
        with subprocess.Popen(
            [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout.readline() == f"{200 << 20}\n"
            memory.sample()
            child.communicate("\n")
        largest = memory.peak
        memory.sample()
    assert before > 10 << 20
    assert largest > before + (190 << 20)
    assert memory.peak >= largest

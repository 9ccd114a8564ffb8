"""Run a command and write what it took: `python measure.py REPORT COMMAND ...`, standard library only.

It is a process of its own, and a small one: a command starts as a copy of who calls it, and the operating system counts
the caller's memory as the command's peak.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in a unit of ru_maxrss


def measure(command: list[str]) -> tuple[int, dict[str, float]]:
    """Exit status of a command, its wall and CPU seconds (children included), MB (10^6) of its largest process."""
    started = time.monotonic()
    code = subprocess.call(command, stdin=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return code, {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mb": round(usage.ru_maxrss * _RSS_UNIT / 1e6, 1),
    }


if __name__ == "__main__":
    code, taken = measure(sys.argv[2:])
    Path(sys.argv[1]).write_text(json.dumps(taken), encoding="utf-8")
    sys.exit(code)

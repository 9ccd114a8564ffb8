"""Steps of a benchmark, each a process of its own: seconds and memory of what a job of the workflow would do."""

import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def run_step(step: str, arguments, number: int) -> dict:
    """Run a step in a process of its own; what it printed last, and its seconds by the clock."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *sys.argv, "--step", step, "--number", str(number)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1]) | {"wall_s": time.perf_counter() - started}


def show(name: str, runs: list[dict]) -> None:
    """Print the sum of the seconds and the largest memory of the runs of a step."""
    cpu, wall = (sum(run[key] for run in runs) for key in ("cpu_s", "wall_s"))
    peak, anonymous = (max(run[key] for run in runs) for key in ("peak_gb", "anonymous_gb"))
    jobs = f", {len(runs)} jobs of at most {max(run['wall_s'] for run in runs):.1f} s" if len(runs) > 1 else ""
    note = "; ".join(run["note"] for run in runs[:1] if run["note"])
    print(f"{name}: {cpu:.0f} CPU s, {wall:.0f} s{jobs}; peak {peak:.2f} / {anonymous:.2f} GB {note}", flush=True)


def measure(step: Callable, arguments) -> dict:
    """Be one step: what it returns, CPU seconds and peak memory."""
    peak = [0]

    def watch() -> None:
        while True:
            peak[0] = max(peak[0], anonymous_bytes())
            time.sleep(0.02)

    threading.Thread(target=watch, daemon=True).start()
    found = step(arguments) or {}
    peak[0] = max(peak[0], anonymous_bytes())
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"note": "", "cpu_s": used.ru_utime + used.ru_stime, "peak_gb": used.ru_maxrss * 1024 / 1e9} | {
        "anonymous_gb": peak[0] / 1e9,
        **found,
    }


def anonymous_bytes() -> int:
    """Resident memory of this process that is in no file."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return 0

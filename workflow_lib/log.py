"""Logging of jobs and progress of long work: a line in the log, a bar on a terminal."""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from workflow_lib.errors import NovabinError

FORMAT, DATE_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS",
)  # fmt: skip
_DISK_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file grew over the size limit of this account",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
}
_DISK_REMEDY = "free space or choose another results folder (pathvars: results in the configuration), then run again"


def configure_logging(log_file: str | Path | None) -> None:
    """Send INFO and above to stderr and, where given, to `log_file` (written anew)."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        Path(log_file).parent.mkdir(parents=True, exist_ok=True)
        Path(log_file).write_bytes(b"")
        # Appending: a program that the job runs may write to the same file.
        handlers.append(logging.FileHandler(log_file, mode="a", encoding="utf-8"))
    logging.basicConfig(level=logging.INFO, format=FORMAT, datefmt=DATE_FORMAT, handlers=handlers, force=True)
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it tells at INFO which builds it does not have


def run_script(main: Callable, snakemake) -> None:
    """Run a rule's `main(snakemake)` with its log and threads; an error ends it with status 1 and a clear message."""
    # Set before numpy, faiss and torch are loaded: their thread pools read these once.
    os.environ.update({name: str(snakemake.threads) for name in _THREAD_VARIABLES})
    configure_logging(snakemake.log[0] if snakemake.log else None)
    logger = logging.getLogger(f"novabin.{snakemake.rule}")
    try:
        main(snakemake)
    except NovabinError as error:
        logger.error("%s", error)
        sys.exit(1)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise_unexpected(logger)
        logger.error("%s: %s\n  To mend it: %s", error.filename or "output", _DISK_ERRORS[error.errno], _DISK_REMEDY)
        sys.exit(1)
    except Exception:
        raise_unexpected(logger)


def raise_unexpected(logger: logging.Logger) -> None:
    """Log the traceback of an error that nobody foresaw and end with status 1."""
    logger.error(
        "novabin met an error that it did not foresee. Please report it with this log.\n%s", traceback.format_exc()
    )
    sys.exit(1)


class Progress:
    """Progress of work measured in base pairs: a bar on a terminal, a line every `interval` seconds in a log.

    Parameters
    ----------
    total_bp : base pairs to do; 0 if unknown.
    label : what is being done.
    interval : seconds between lines where stderr is no terminal.
    """

    def __init__(self, total_bp: int, label: str, *, interval: float = 15.0) -> None:
        from tqdm import tqdm

        self.label, self.total_bp, self.done_bp, self.interval = label, total_bp, 0, interval
        self._start = self._last = time.monotonic()
        self._logger = logging.getLogger("novabin.progress")
        self._bar = tqdm(total=total_bp, desc=label, unit="bp", unit_scale=True, disable=not sys.stderr.isatty())

    def add(self, n_bp: int) -> None:
        """Count `n_bp` more base pairs as done."""
        self.done_bp += n_bp
        self._bar.update(n_bp)
        now = time.monotonic()
        if self._bar.disable and now - self._last >= self.interval:
            self._last = now
            self._logger.info("%s: %s", self.label, self.rate())

    def rate(self) -> str:
        """Work done and rate, e.g. '12.0 of 24.0 Mbp, 110.5 Mbp/s'."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        of_total = f" of {self.total_bp / 1e6:.1f}" if self.total_bp else ""
        return f"{self.done_bp / 1e6:.1f}{of_total} Mbp, {self.done_bp / 1e6 / seconds:.1f} Mbp/s"

    def close(self) -> None:
        """End the bar and log the final rate."""
        self._bar.close()
        self._logger.info("%s: %s", self.label, self.rate())

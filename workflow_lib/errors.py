"""Errors a user can act on: what was found, what was expected, where, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_SHOWN_NAMES = 5
_SHOWN_FAULTS = 20  # lines that fit on a screen


def some_names(names: Iterable[str]) -> str:
    """The first five of some names, and how many more there are, for a message."""
    names = list(names)
    rest = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {rest} more" if rest > 0 else "")


class NovabinError(Exception):
    """Base of every error that novabin raises on purpose; its text is meant for the user."""


class InputError(NovabinError, ValueError):
    """A user's file or value cannot be used.

    Parameters
    ----------
    message : what was found and what was expected.
    path : the file at fault, if there is one.
    line : 1-based line in that file, if known.
    remedy : what to do next.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | Path | None = None,
        line: int | None = None,
        remedy: str | None = None,
    ) -> None:
        self.message, self.path, self.line, self.remedy = message, path, line, remedy
        where = ""
        if path is not None:
            where = f"{path}, line {line}: " if line is not None else f"{path}: "
        super().__init__(f"{where}{message}" + (f"\n  To mend it: {remedy}" if remedy else ""))


class MissingTableError(InputError):
    """A table that the configuration names is not there."""


class ToolError(NovabinError, RuntimeError):
    """An external tool is missing or failed."""


@dataclass(frozen=True)
class Fault:
    """One fault of a table or configuration: where it is, what stands there, what was expected."""

    path: str
    line: int | None
    column: str | None
    value: object
    expected: str

    def __str__(self) -> str:
        where = self.path
        if self.line is not None:
            where += f", line {self.line}"
        if self.column is not None:
            where += f", {self.column}"
        found = "nothing" if self.value is None else repr(self.value)
        return f"{where}: found {found}; expected {self.expected}"


class FaultsError(InputError):
    """All faults of one or several tables, shown together; of many the first twenty and how many more there are."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = list(faults)
        n = len(self.faults)
        lines = "\n".join(f"  - {fault}" for fault in self.faults[:_SHOWN_FAULTS])
        if n > _SHOWN_FAULTS:
            lines += f"\n  and {n - _SHOWN_FAULTS} more"
        super().__init__(f"{n} fault{'s' if n != 1 else ''} in the input tables or configuration:\n{lines}")

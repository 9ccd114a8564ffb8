"""Reading what the other stages wrote: required columns are insisted on, optional ones may be absent."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_lib.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# fastp writes the mean of nothing as C does; JSON has no such number.
_NOT_A_NUMBER = re.compile(r"(?<=[\s:,\[])-?(?:nan|inf)(?=[\s,\]}])")
# Its command line comes without escapes: a quotation mark in a path ends the string early.
_FASTP_COMMAND = re.compile(r'^(\s*"command": )".*"(,?)$', re.MULTILINE)
_REMEDY = "delete it and run again: the stage that makes it writes it anew"


def read_table(path: str | Path, *, required: Sequence[str] = (), numeric: Sequence[str] = ()) -> pd.DataFrame:
    """Read a tab-separated table with a header.

    Parameters
    ----------
    path : the file; a file without rows is a valid table.
    required : columns that must be there.
    numeric : columns read as float64 where they are there; an empty field becomes NaN.

    Returns
    -------
    The rows in file order; columns that are not numeric hold str, "" where the field is empty.

    Raises
    ------
    InputError
        when the file is missing or empty, lacks a required column, or a numeric field holds other text.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE)
    except FileNotFoundError as error:
        raise InputError("no such file; the report needs it", path=path, remedy=_REMEDY) from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"not a table with a header ({error})", path=path, remedy=_REMEDY) from error
    missing = [column for column in required if column not in table.columns]
    if missing:
        found = ", ".join(table.columns)
        raise InputError(f"lacks the column {', '.join(missing)}; found {found}", path=path, line=1, remedy=_REMEDY)
    for column in numeric:
        if column in table.columns:
            table[column] = _to_float(table[column], path)
    return table


def _to_float(texts: pd.Series, path: str | Path) -> pd.Series:
    import pandas as pd

    values = pd.to_numeric(texts, errors="coerce")
    bad = values.isna() & ~texts.str.strip().str.lower().isin(["", "nan", "na"])
    if bad.any():
        row = int(bad.to_numpy().argmax())
        message = f"column {texts.name}: found {texts.iloc[row]!r}, expected a number or nothing"
        raise InputError(message, path=path, line=row + 2, remedy=_REMEDY)
    return values.astype(float)


def read_json(path: str | Path) -> dict:
    """Read a JSON object; NaN, infinity and the command line of fastp become None.

    Raises
    ------
    InputError
        when the file is missing, is no JSON, or is no object.
    """
    try:
        text = _NOT_A_NUMBER.sub("null", Path(path).read_text(encoding="utf-8"))
        text = _FASTP_COMMAND.sub(r"\1null\2", text)
        content = json.loads(text, parse_constant=lambda _: None)
    except FileNotFoundError as error:
        raise InputError("no such file; the report needs it", path=path, remedy=_REMEDY) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a JSON file ({error})", path=path, remedy=_REMEDY) from error
    if not isinstance(content, dict):
        raise InputError(f"holds a {type(content).__name__}, expected a JSON object", path=path, remedy=_REMEDY)
    return content


def to_json(content: object) -> str:
    """Compact JSON with a fixed key order; a float that is not finite is refused, it would not be JSON."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def number(value: object, digits: int = 4) -> float | int | None:
    """A plain number rounded to `digits` significant digits, None where it is not finite or not available."""
    import math

    if value is None or value == "":
        return None
    value = float(value)
    if not math.isfinite(value):
        return None
    if value.is_integer() and abs(value) < 1e15:
        return int(value)
    return float(f"{value:.{digits}g}")

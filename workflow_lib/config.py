"""The configuration: checked against its schema, all faults at once, with the nearest known key named."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from workflow_lib.errors import Fault, FaultsError

_INPUT_FILES = ("bin.threshold.labelled", "markers.hmm", "checkm2.database")  # of the samples' own run
_INPUT_FOLDERS = "dereplicate.folders"
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")  # 1e-3, which YAML 1.1 takes for text without a point


def validate_config(config: dict, schema_path: str | Path, *, source: str = "configuration") -> None:
    """Check `config` against a JSON schema (YAML file).

    Raises
    ------
    FaultsError
        with every fault: where in the configuration, what stands there, what was expected.
    """
    import yaml
    from jsonschema import Draft202012Validator

    schema = yaml.safe_load(Path(schema_path).read_text(encoding="utf-8"))
    errors = sorted(Draft202012Validator(schema).iter_errors(config), key=lambda error: list(map(str, error.path)))
    faults = [fault for error in errors for fault in _faults(error, source)]
    # NaN is within every limit of a schema.
    faults += [
        Fault(source, None, _name_place(path), value, "a finite number")
        for path, value in _values(config)
        if isinstance(value, float) and not math.isfinite(value)
    ]
    if faults:
        raise FaultsError(faults)


def check_input_paths(config: dict, *, source: str = "configuration") -> None:
    """Refuse files and folders that the configuration names and that are not there.

    Snakemake tells of a missing input only where the job's outputs are missing too: with those of an earlier run it
    keeps them, though they were made without that input. The tables, models and archives have checks of their own.

    Raises
    ------
    FaultsError
        with every one of them.
    """
    faults = []
    for path, value in _values(config):
        key = ".".join(part for part in path if isinstance(part, str))
        if key in _INPUT_FILES and value and not Path(value).is_file():
            faults.append(Fault(source, None, _name_place(path), value, "a file that exists"))
        if key == _INPUT_FOLDERS and not Path(value).is_dir():
            faults.append(Fault(source, None, _name_place(path), value, "a folder that exists"))
    if faults:
        raise FaultsError(faults)


def _values(tree, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], object]]:
    """Where each value stands that is no section or list itself, and the value."""
    if not isinstance(tree, dict | list):
        yield path, tree
        return
    for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from _values(item, (*path, key))


def convert_texts(config: dict, schema_path: str | Path) -> None:
    """Give values that came as text the type that the schema asks for, in place.

    Snakemake hands on what stands inside braces on the command line as text: `--config 'bin={min_bin_size: 5}'` gives
    '5', and `--config reference=null` gives 'null'. YAML gives '1e-3' for a number without a point. A text that cannot
    be read stays, for `validate_config` to name.
    """
    import yaml

    _convert(config, yaml.safe_load(Path(schema_path).read_text(encoding="utf-8")))


def _convert(value, schema: dict):
    import yaml

    if isinstance(value, dict):
        properties = schema.get("properties", {})
        value.update({key: _convert(item, properties.get(key, {})) for key, item in value.items()})
    if isinstance(value, list):
        value[:] = [_convert(item, schema.get("items", {})) for item in value]
    if not isinstance(value, str):
        return value
    types = schema.get("type", "string")
    types = [types] if isinstance(types, str) else types
    if "null" in types and value in ("", "null"):
        return None
    if "string" in types:
        return value
    if _EXPONENT.fullmatch(value) and math.isfinite(number := float(value)):
        return int(number) if "integer" in types and number.is_integer() else number
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    return read if isinstance(read, bool | int | float) else value


def _faults(error, source: str) -> list[Fault]:
    where = _name_place(error.absolute_path)
    if error.validator == "required":  # one error a missing key, named in the message only
        key = error.message.split("'")[1]
        return [Fault(source, None, where or "top level", sorted(error.instance), f"a key {key!r}")]
    if error.validator != "additionalProperties":
        described = error.schema.get("description")
        expected = _expected(error) + (f" ({described})" if described else "")
        return [Fault(source, None, where or "top level", error.instance, expected)]
    known = sorted(error.schema.get("properties", {}))
    faults = []
    for key in sorted(set(error.instance) - set(known)):
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(known)}"
        faults.append(Fault(source, None, where or "top level", key, f"a known key; {hint}"))
    return faults


def _name_place(path: Iterable[str | int]) -> str:
    """Keys joined by points; of an item of a list its number: scoreboard.shots, item 2."""
    place = ""
    for part in path:
        place += f", item {part + 1}" if isinstance(part, int) else f"{'.' if place else ''}{part}"
    return place


def _expected(error) -> str:
    value = error.validator_value
    words = {
        "type": "type {}",
        "enum": "one of {}",
        "minimum": "at least {}",
        "maximum": "at most {}",
        "exclusiveMinimum": "more than {}",
        "exclusiveMaximum": "less than {}",
        "minItems": "a list of {} or more",
        "maxItems": "a list of {} or fewer",
        "minLength": "a text, not an empty one",
        "uniqueItems": "each item once",
        "pattern": "a text of the form {}",
    }
    shown = ", ".join(map(str, value)) if isinstance(value, list) else value
    return words.get(error.validator, f"{error.validator} {{}}").format(shown)

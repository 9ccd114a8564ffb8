import json
import math

import pytest

from workflow_lib.errors import InputError
from workflow_lib.report.inputs import number, read_json, read_table, to_json


def test_table_with_quotes_and_empty_fields(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text('contig\tlength\tbin\n"a\t10\t\nNA\t\tbin.1\n')
    table = read_table(path, required=("contig", "bin"), numeric=("length", "absent"))
    assert table["contig"].tolist() == ['"a', "NA"]
    assert table["bin"].tolist() == ["", "bin.1"]
    assert table["length"].iloc[0] == 10
    assert math.isnan(table["length"].iloc[1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("", "not a table"),
        ("contig\tsize\n", "lacks the column length"),
        ("contig\tlength\na\tlong\n", r"line 2: column length: found 'long'"),
        (b"contig\tlength\n\xff\xfe\t1\n", "not a table"),
    ],
)
def test_table_errors_name_file_and_remedy(tmp_path, content, message):
    path = tmp_path / "t.tsv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as caught:
        read_table(path, required=("contig", "length"), numeric=("length",))
    assert str(path) in str(caught.value)
    assert "To mend it" in str(caught.value)


def test_json_reads_the_nan_that_tools_write(tmp_path):
    path = tmp_path / "f.json"
    path.write_text('{"a": -nan, "b": [nan, 1, inf], "c": NaN, "d": "nan, inf"}')
    assert read_json(path) == {"a": None, "b": [None, 1, None], "c": None, "d": "nan, inf"}


def test_json_of_fastp_with_a_quote_in_a_path(tmp_path):
    """Fastp writes its command as it was given, without escapes."""
    path = tmp_path / "f.json"
    path.write_text('{\n\t"a": 1,\n\t"command": "fastp --in1 a\\b"c.fq --json x "\n}\n')
    assert read_json(path) == {"a": 1, "command": None}
    path.write_text('{\n\t"command": "fastp",\n\t"a": 1\n}\n')
    assert read_json(path) == {"command": None, "a": 1}


@pytest.mark.parametrize(("content", "message"), [(None, "no such file"), ("{", "not a JSON"), ("[1]", "holds a list")])
def test_json_errors(tmp_path, content, message):
    path = tmp_path / "f.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_json(path)


def test_numbers_are_short_and_finite():
    values = [number(value) for value in (None, "", "nan", float("inf"), 3.0, 0.123456, 1234567.0, -1e-9)]
    assert values == [None, None, None, None, 3, 0.1235, 1234567, -1e-9]
    assert json.loads(to_json(values)) == values
    with pytest.raises(ValueError, match="JSON"):
        to_json([float("nan")])

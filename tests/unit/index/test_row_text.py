"""The table of windows as text: compiled loops against plain Python, in blocks that cut it anywhere."""

import hashlib

import numpy as np
import pytest

from workflow_lib.errors import InputError
from workflow_lib.index import windows
from workflow_lib.index.windows import (
    format_window,
    join_tables,
    parse_window,
    read_ids,
    read_ids_and_digest,
    select_rows,
    tabulate_windows,
    write_ids,
)
from workflow_lib.taxonomy import format_taxonomy

TAXONOMY = {"g0": {"domain": "Bacteria", "species": "Größe b"}, "g3": {"genus": "A"}}
LARGE = 2**31 + 5  # more bp than an int32 counts


def draw_names(n=400, seed=0):
    """Names of 8 genomes whose contigs have bars, letters of two bytes and carriage returns in their names."""
    generator, names = np.random.default_rng(seed), []
    for genome in range(8):
        for row in range(n // 8):
            contig = f"c|{row // 5}" if genome % 2 else f"é{row // 7}\r"
            start = int(generator.integers(10 ** generator.integers(0, 10)))
            names.append(format_window(f"g{genome}", contig, start, start + row))
    return [*names, format_window("g8", "", 0, LARGE)]


def lines_of(names, taxonomy):
    """The lines of ids.tsv, as plain Python writes them."""
    fields = [parse_window(name) for name in names]
    return [
        f"{row}\t{genome}\t{contig}\t{start}\t{end}\t{format_taxonomy(taxonomy.get(genome, {}))}"
        for row, (genome, contig, start, end) in enumerate(fields)
    ]


@pytest.fixture(params=[1, 7, 100, 1 << 24])
def block_size(request, monkeypatch):
    monkeypatch.setattr(windows, "_BLOCK_BYTES", request.param)
    monkeypatch.setattr(windows, "_BLOCK_ROWS", max(request.param // 10, 1))
    monkeypatch.setattr(windows, "_CHECKED_ROWS", max(request.param // 10, 1))


@pytest.mark.usefixtures("block_size")
def test_text_is_what_plain_python_writes_and_reads(tmp_path):
    names = draw_names()
    table, expected = tabulate_windows(names, TAXONOMY), lines_of(names, TAXONOMY)
    assert list(table.lines()) == expected
    assert [format_window(table.genomes[table.codes[row]], table.contigs[row], table.starts[row], table.ends[row])
            for row in range(len(table))] == names  # fmt: skip
    digest = hashlib.sha256("\n".join(expected).encode()).hexdigest()
    assert write_ids(tmp_path / "ids.tsv", table) == table.digest() == digest
    again, found = read_ids_and_digest(tmp_path / "ids.tsv")
    assert list(again.lines()) == expected
    assert found == digest
    assert again.lineages == [TAXONOMY.get(genome, {}) for genome in again.genomes]


def test_a_choice_of_rows_and_tables_put_together():
    names, chosen = draw_names(), np.arange(401) % 3 == 0
    chosen[:60] = False  # a genome that is left with none
    table = tabulate_windows(names, TAXONOMY)
    kept = [name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen]
    assert list(select_rows(table, chosen).lines()) == lines_of(kept, TAXONOMY)
    others = [format_window("x", "c", 5, 9), format_window("g00", "c", 5, 9)]
    joined = join_tables(iter([select_rows(table, chosen), tabulate_windows(others, {})]))
    assert list(joined.lines()) == lines_of([*kept, *others], TAXONOMY)
    assert len(table) == 401
    assert table.contigs.text.size < sum(map(len, names)) / 5  # a contig's name is held once for its windows
    assert list(join_tables([]).lines()) == list(tabulate_windows([], {}).lines()) == []


def test_sixteen_bytes_a_row():
    table = tabulate_windows([format_window("g", "c", row, row + 9) for row in range(1000)], {})
    columns = (table.codes, table.contigs.codes, table.contigs.text, table.starts, table.ends)
    assert sum(column.nbytes for column in columns) < 17 * 1000


BAD_LINES = [
    "2\tg\tc\t0\t9\t",
    "1\tg\tc\t0\t9",
    "1\tg\tc\t0\t9\t\t",
    "1\tg\tc\t-1\t9\t",
    "1\tg\tc\t0\t9x\t",
    "",
    "01\tg\tc\t0\t9\t",
]


@pytest.mark.parametrize("line", BAD_LINES)
@pytest.mark.usefixtures("block_size")
def test_a_bad_line_is_named(tmp_path, line):
    table = tabulate_windows([format_window("g", "c", 0, 9), format_window("g", "c", 9, 20)], {})
    write_ids(tmp_path / "ids.tsv", table)
    lines = (tmp_path / "ids.tsv").read_text().split("\n")
    (tmp_path / "ids.tsv").write_text("\n".join([*lines[:2], line, *lines[2:]]))
    with pytest.raises(InputError, match=r"ids.tsv, line 3: found .*, expected row 1 with 6 fields"):
        read_ids(tmp_path / "ids.tsv")


@pytest.mark.usefixtures("block_size")
def test_a_last_line_without_its_end_is_refused(tmp_path):
    write_ids(tmp_path / "ids.tsv", tabulate_windows([format_window("g", "c", 0, 9)], {}))
    (tmp_path / "ids.tsv").write_bytes((tmp_path / "ids.tsv").read_bytes()[:-1])
    with pytest.raises(InputError, match=r"ids.tsv, line 2: found '0\\tg"):
        read_ids(tmp_path / "ids.tsv")


@pytest.mark.parametrize("name", ["g", "g|0|9", "g|c|0|x", "g|c||9", ""])
def test_a_bad_name_is_shown(name):
    with pytest.raises(InputError, match="expected a name 'genome"):
        tabulate_windows([format_window("g", "c", 0, 9), name], {})


def test_a_genome_whose_rows_are_apart_is_refused_in_a_file_too(tmp_path):
    write_ids(tmp_path / "ids.tsv", tabulate_windows([format_window(g, "c", 0, 1) for g in "ab"], {}))
    with open(tmp_path / "ids.tsv", "a") as handle:
        handle.write("2\ta\tc\t0\t1\t\n")
    with pytest.raises(InputError, match="do not lie together"):
        read_ids(tmp_path / "ids.tsv")

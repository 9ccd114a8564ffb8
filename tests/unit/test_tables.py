"""The input tables: what is read, and that every fault is shown with file, line, column, value and expectation."""

import gzip

import pytest

from workflow_lib.errors import FaultsError, InputError, MissingTableError
from workflow_lib.tables import AbsentTable, load_libraries, load_reference, load_samples
from workflow_lib.taxonomy import drop_missing


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "contigs.fa"
    path.write_text(">a\nACGT\n")
    return path


def write(tmp_path, text: str):
    path = tmp_path / "table.tsv"
    path.write_bytes(text.encode())
    return path


def faults(load, path, **options) -> list[str]:
    with pytest.raises(FaultsError) as raised:
        load(path, **options)
    return [str(fault) for fault in raised.value.faults]


def test_samples_default_group_is_the_sample(tmp_path, fasta):
    path = write(tmp_path, f"sample\tcontigs\tgroup\ns1\t{fasta}\t\ns2\t{fasta}\tgut\n")
    samples = load_samples(path)
    assert list(samples) == ["s1", "s2"]
    assert (samples["s1"].group, samples["s2"].group) == ("s1", "gut")
    assert samples["s1"].truth is None


def test_given_bins_are_a_file_or_a_folder(tmp_path, fasta):
    (tmp_path / "bins").mkdir()
    rows = f"sample\tcontigs\tbins\na\t{fasta}\t{tmp_path}/bins\nb\t{fasta}\t{fasta}\nc\t{fasta}\t\n"
    samples = load_samples(write(tmp_path, rows))
    assert [sample.bins for sample in samples.values()] == [f"{tmp_path}/bins", str(fasta), None]
    (fault,) = faults(load_samples, write(tmp_path, f"sample\tcontigs\tbins\na\t{fasta}\tnone\n"))
    assert "column bins: found 'none'; expected an existing file or folder" in fault
    (fault,) = faults(load_samples, write(tmp_path, f"sample\tcontigs\na\t{tmp_path}/bins\n"))
    assert "expected an existing file (" in fault  # contigs are no folder


def test_crlf_bom_comments_blanks_and_short_rows_are_read(tmp_path, fasta):
    text = f"\ufeff# comment\r\nsample\tcontigs\ttruth\r\n\r\n s1 \t{fasta}\r\n"
    assert load_samples(write(tmp_path, text))["s1"].contigs == str(fasta)


def test_all_faults_come_together_with_their_lines(tmp_path, fasta):
    path = write(tmp_path, f"sample\tcontigs\ns1\t{fasta}\ns1\t{fasta}\nb c\t/no/such.fa\n../x\t\n")
    found = faults(load_samples, path)
    assert len(found) == 5
    assert "line 3, column sample: found 's1'" in found[0]
    assert "line 2 has it already" in found[0]
    assert "line 4, column sample: found 'b c'" in found[1]
    assert "line 4, column contigs: found '/no/such.fa'" in found[2]
    assert "line 5, column sample" in found[3]
    assert "line 5, column contigs" in found[4]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a header line"),
        ("sample,contigs\na,b\n", "found 'sample,contigs'; expected columns separated by tabs"),
        ("smaple\na\n", "did you mean 'sample'?"),
        ("sample\tcontig\na\tb\n", "did you mean 'contigs'?"),
        ("sample\tcontigs\tcontigs\n", "each column once"),
        ("sample\tcontigs\n", "at least one sample"),
        ("sample\tcontigs\na\tb\tc\n", "2 fields, found 3"),
    ],
)
def test_header_and_shape_faults(tmp_path, text, expected):
    assert expected in "\n".join(faults(load_samples, write(tmp_path, text), check_files=False))


def test_an_absent_table_has_a_name_and_tells_of_itself_when_a_row_is_asked_for():
    table = AbsentTable(MissingTableError("no such table"))
    assert len(list(table)) == len(table) == 1
    (name,) = table
    for ask in (lambda: table[name], table.values, table.items, lambda: table.get(name)):
        with pytest.raises(MissingTableError):
            ask()


def test_missing_or_unreadable_table(tmp_path):
    with pytest.raises(MissingTableError, match="no such table"):
        load_samples(tmp_path / "none.tsv")
    path = tmp_path / "binary.tsv"
    path.write_bytes(b"sample\tcontigs\n\xff\xfe\x00\n")
    with pytest.raises(InputError, match="not a readable text table"):
        load_samples(path)
    with pytest.raises(InputError, match="cannot be read"):
        load_samples(tmp_path)


def test_a_table_may_be_gzip(tmp_path, fasta):
    path = tmp_path / "samples.tsv.gz"
    path.write_bytes(gzip.compress(f"sample\tcontigs\n# a comment\none\t{fasta}\n".encode()))
    assert list(load_samples(path)) == ["one"]
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match="gzip data end early"):
        load_samples(path)


def test_library_kinds(tmp_path, fasta):
    header = "library\tgroup\treads_1\treads_2\tlong_reads\tplatform\tbam\tdepth\n"
    f = str(fasta)
    mates = tmp_path / "mates.fq"
    mates.write_text("")
    rows = [
        ["p", "g", f, str(mates), "", "", "", ""],
        ["s", "g", f, "", "", "", "", ""],
        ["l", "g", "", "", f, "ont", "", ""],
        ["b", "g", "", "", "", "", f, ""],
        ["d", "g", "", "", "", "", "", f],
    ]
    path = write(tmp_path, header + "".join("\t".join(row) + "\n" for row in rows))
    libraries = load_libraries(path, groups={"g"})
    assert [library.kind for library in libraries.values()] == ["paired", "single", "long", "bam", "depth"]


def test_a_library_may_be_called_var(tmp_path, fasta):
    path = write(tmp_path, f"library\tgroup\tdepth\nx-var\tg\t{fasta}\ny\tg\t{fasta}\n")
    assert list(load_libraries(path, groups={"g"})) == ["x-var", "y"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("x\tg\t\t\t\t\t\t", "exactly one source"),
        ("x\tg\tF\t\t\t\tF\t", "exactly one source"),
        ("x\tg\t\tF\t\t\t\t", "exactly one source"),
        ("x\tg\t\t\tF\tpacbio\t\t", "one of ont, hifi"),
        ("x\tg\tF\t\t\tont\t\t", "only long reads have a platform"),
        ("x\tg\tF\tF\t\t\t\t", "the other file of the pair"),
        ("length\tg\t\t\t\t\t\tF", "a column of the depth table"),
        ("x-var\tg\t\t\t\t\t\tF\nx\tg\t\t\t\t\t\tF", "found 'x-var'; expected another name: in the depth table"),
        ("x\th\tF\t\t\t\t\t", "a group (or sample) of the samples table: g"),
    ],
)
def test_library_faults(tmp_path, fasta, row, expected):
    header = "library\tgroup\treads_1\treads_2\tlong_reads\tplatform\tbam\tdepth\n"
    path = write(tmp_path, header + row.replace("F", str(fasta)) + "\n")
    assert expected in faults(load_libraries, path, groups={"g"})[0]


def test_reference_taxonomy(tmp_path, fasta):
    lineage = "d__Bacteria;p__P;c__;o__;f__F;g__G;s__G one"
    path = write(tmp_path, f"genome_id\tfasta\ttaxonomy\na\t{fasta}\t{lineage}\nb\t{fasta}\t\n")
    genomes = load_reference(path)
    assert genomes["a"].taxonomy == {
        "domain": "Bacteria", "phylum": "P", "family": "F", "genus": "G", "species": "G one",
    }  # fmt: skip
    assert genomes["b"].taxonomy == {}


@pytest.mark.parametrize("lineage", ["Bacteria", "d__A;d__B", "x__A"])
def test_reference_taxonomy_faults(tmp_path, fasta, lineage):
    path = write(tmp_path, f"genome_id\tfasta\ttaxonomy\na\t{fasta}\t{lineage}\n")
    assert "column taxonomy" in faults(load_reference, path)[0]


def test_names_below_different_taxa_are_different_taxa(tmp_path, caplog):
    rows = [
        ("a", "d__B;p__P;g__G;s__sp001"),
        ("b", "d__B;p__P;g__G;s__sp001"),
        ("c", "d__B;p__P;g__H;s__sp001"),
        ("d", "d__B;p__P;g__H;s__sp002"),
        ("e", "d__B;p__Q;g__H;s__sp003"),
        ("f", "d__B;p__P;s__sp002"),  # of no genus: nothing says that it is another
        ("g", ""),
        ("j", "s__sp001"),
        ("h", "d__B;p__P;g__unclassified;s__sp004"),
        ("i", "d__B;p__P;g__H;s__sp004"),
    ]
    (tmp_path / "x.fa").write_text(">x\nACGT\n")
    found = []
    for order in (rows, rows[::-1]):
        text = "genome_id\tfasta\ttaxonomy\n" + "".join(
            f"{name}\t{tmp_path}/x.fa\t{lineage}\n" for name, lineage in order
        )
        genomes = load_reference(write(tmp_path, text))
        assert list(genomes) == [name for name, _ in order]
        found.append({name: genome.taxonomy for name, genome in genomes.items()})
    assert found[0] == found[1]
    species = {name: lineage.get("species") for name, lineage in found[0].items()}
    assert species == {
        "a": "sp001 (G)",
        "b": "sp001 (G)",
        "c": "sp001 (H)",
        "d": "sp002",
        "e": "sp003",
        "f": "sp002",
        "g": None,
        "j": "sp001",
        "h": "sp004",
        "i": "sp004",
    }
    assert [found[0][name].get("genus") for name in "acde"] == ["G", "H (P)", "H (P)", "H (Q)"]
    assert "names that stand below different taxa" in caplog.text and "2: g__H, s__sp001" in caplog.text
    caplog.clear()
    load_reference(write(tmp_path, text), check_files=False)
    assert not caplog.records  # a job that reads it again


@pytest.mark.parametrize(
    "name",
    [
        *(
            "uncultured bacterium",
            "Bacillaceae (unclassified)",
            "unclassified-Bacillales",
            "uncultured_bacterium",
            "uncultured Bacillus sp. clone 7",
            "Bacillus sp.",
            "Bacillus_sp",
        ),
        *("Bacillus spp.", "metagenome", "human gut metagenome", "unclassified Bacillales", "Bacillales_unclassified"),
        *(
            "Unknown Family",
            "Incertae Sedis",
            "Clostridiales bacterium",
            "archaeon",
            "environmental samples",
            "NA",
            "N/A",
            "-",
        ),
        *(
            "not assigned",
            "not  applicable",
            "Not_available",
            "no rank",
            "no-name",
            "no support",
            "no hit",
            "not_determined",
        ),
        *("not classified", "norank_f__Bacillaceae", "Clostridiales_noname", "unnamed Bacillus", "unnamed", "n.a."),
        *("undetermined", "undefined", "unranked", "unspecified", "?", "??"),
    ],
)
def test_words_for_a_missing_name_are_no_name(name):
    kept, dropped = drop_missing([{"phylum": "P", "species": name}])
    assert kept == [{"phylum": "P"}]
    assert dropped == [f"s__{name}"]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Bacillus_A sp002",
            "UBA123 sp003",
            "sp001",
            "Bacillus sp. CG1",
            "Clostridiales bacterium VE202-06",
            "CAG-110",
        ),
        *(
            "Corynebacterium",
            "Faecalibacterium prausnitzii",
            "Nanoarchaeum",
            "Candidatus Nitrosopumilus",
            "Nanosynbacter",
        ),
        *("Unknownia", "Bacillus unculturedii", "Spirochaeta", "Naasia", "sp8", "Nocardia", "Norankia"),
    ],
)
def test_names_are_kept(name):
    assert drop_missing([{"species": name}]) == ([{"species": name}], [])


def test_names_that_stand_for_none_are_counted_once(tmp_path, fasta, caplog):
    rows = [
        "g__A;s__uncultured bacterium",
        "g__B;s__uncultured bacterium",
        "g__unclassified Bacillales;s__X one",
        "s__",
    ]
    text = "genome_id\tfasta\ttaxonomy\n" + "".join(f"g{i}\t{fasta}\t{row}\n" for i, row in enumerate(rows))
    genomes = load_reference(write(tmp_path, text))
    assert [one.taxonomy for one in genomes.values()] == [{"genus": "A"}, {"genus": "B"}, {"species": "X one"}, {}]
    assert "3 names are read as no name" in caplog.text
    assert "s__uncultured bacterium (2), g__unclassified Bacillales (1)" in caplog.text
    caplog.clear()
    load_reference(write(tmp_path, text), check_files=False)
    assert not caplog.records


def test_consistent_lineages_stay_as_they_are(tmp_path, caplog):
    text = "genome_id\tfasta\ttaxonomy\na\tx.fa\td__B;p__P;g__G;s__G one\nb\tx.fa\td__B;p__P;g__G;s__G two\n"
    assert [one.taxonomy["genus"] for one in load_reference(write(tmp_path, text), check_files=False).values()] == [
        "G",
        "G",
    ]
    assert not caplog.records

"""Labelled sets: pieces come from where they say, do not overlap, and do not depend on the other genomes."""

from itertools import pairwise

import numpy as np
import pytest

from workflow_lib.bin.threshold import read_labelled
from workflow_lib.errors import FaultsError, InputError
from workflow_lib.fasta import reverse_complement, write_fasta
from workflow_lib.scoreboard.labelled import cut_pieces, read_set
from workflow_lib.tables import Genome, load_sets


@pytest.fixture
def genomes(tmp_path) -> list[Genome]:
    """Three genomes in two contigs each; two are of one species, the third has no name."""
    rng = np.random.default_rng(1)
    made = []
    for name, taxonomy in (("g1", {"species": "A a"}), ("g2", {"species": "A a"}), ("g3", {"genus": "B"})):
        contigs = [(f"c{i}", bytes(rng.choice(list(b"ACGT"), 20_000).tolist())) for i in range(2)]
        write_fasta(tmp_path / f"{name}.fa.gz", contigs)
        made.append(Genome(name, str(tmp_path / f"{name}.fa.gz"), taxonomy))
    return made


def source_texts(genomes):
    from workflow_lib.fasta import read_fasta

    return {(g.name, record.name): record.sequence for g in genomes for record in read_fasta(g.fasta)}


def test_pieces_stand_where_they_say_and_do_not_overlap(genomes):
    found = cut_pieces(genomes, length=500, sigma=0.4, pieces=1000)
    texts, taken, strands = source_texts(genomes), {}, set()
    for sequence, label, origin in zip(found.sequences, found.labels, found.origins, strict=True):
        genome, contig, span, strand = origin.split(":")
        start, end = map(int, span.split("-"))
        piece = texts[genome, contig][start:end]
        assert sequence == (reverse_complement(piece) if strand == "-" else piece)
        assert label == ("g3" if genome == "g3" else "A a")
        taken.setdefault((genome, contig), []).append((start, end))
        strands.add(strand)
    assert strands == {"+", "-"}
    for spans in taken.values():
        spans.sort()
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    covered = sum(end - start for spans in taken.values() for start, end in spans)
    assert covered > 0.95 * 6 * 20_000  # what is not cut is the end of each contig


def test_a_genome_again_is_left_out_and_refused_under_another_species(genomes, tmp_path, caplog):
    contigs = [(name, text) for (genome, name), text in source_texts(genomes).items() if genome == "g1"]
    write_fasta(tmp_path / "again.fa", [(name, reverse_complement(text)) for name, text in contigs[::-1]])
    again = Genome("again", str(tmp_path / "again.fa"), {"species": "A a"})
    found = cut_pieces([*genomes, again], length=500, sigma=0.4, pieces=1000)
    assert found == cut_pieces(genomes, length=500, sigma=0.4, pieces=1000)
    assert "genome again has the sequences of g1; left out" in caplog.text
    with pytest.raises(InputError, match=r"2 genomes .*: again \(no species\) those of g1 \(A a\), more \(X"):
        extra = [Genome("again", again.fasta, {}), Genome("more", again.fasta, {"species": "X x"})]
        cut_pieces([*genomes, *extra], length=500)


def test_copies_without_a_species_are_left_out_and_spellings_are_one_species(genomes):
    first = genomes[0]
    nameless = [Genome(name, first.fasta, {}) for name in ("x", "y")]
    labels = set(cut_pieces([*genomes[1:], *nameless], length=500).labels)
    assert "x" in labels and "y" not in labels
    spelled = [Genome(one.name, one.fasta, {"species": "a_A"}) if "species" in one.taxonomy else one for one in genomes]
    found = cut_pieces([first, *spelled[1:]], length=500, pieces=1000)
    assert set(found.labels) == set(cut_pieces(genomes, length=500, pieces=1000).labels)


def test_rows_again_are_left_out_and_disputed_ones_told(tmp_path, caplog):
    rng = np.random.default_rng(3)
    texts = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(24)]
    rows = [(text, "a" if number < 12 else "b") for number, text in enumerate(texts)]
    (tmp_path / "set.tsv").write_text("".join(f"{text}\t{label}\n" for text, label in rows))
    plain = read_set(tmp_path / "set.tsv")
    assert not caplog.messages
    turned = [(reverse_complement(text.encode()).decode().lower(), label) for text, label in rows[:5]]
    (tmp_path / "set.tsv").write_text("".join(f"{text}\t{label}\n" for text, label in [*rows, rows[0], *turned]))
    assert read_set(tmp_path / "set.tsv") == plain
    assert "6 sequences are those of an earlier row of their species; left out" in caplog.text
    assert "several species" not in caplog.text
    (tmp_path / "set.tsv").write_text("".join(f"{text}\t{label}\n" for text, label in [*rows, (texts[0], "b")]))
    assert len(read_set(tmp_path / "set.tsv").labels) == 25
    assert "1 sequences are of several species" in caplog.text


def test_lengths_are_exact_or_log_normal(genomes):
    assert set(cut_pieces(genomes, length=300).lengths.tolist()) == {300}
    logs = np.log(cut_pieces(genomes, length=300, sigma=0.5, pieces=10_000).lengths)
    assert np.exp(np.median(logs)) == pytest.approx(300, rel=0.15)  # about 350 pieces: 3% is one standard error
    assert logs.std() == pytest.approx(0.5, rel=0.15)


def test_pieces_are_counted_by_species_and_chosen_from_all_its_genomes(genomes):
    found = cut_pieces(genomes, length=200, pieces=40)
    assert [found.labels.count(name) for name in ("A a", "g3")] == [40, 40]
    of = [origin.split(":")[0] for origin in found.origins]
    assert of.count("g1") > 5 and of.count("g2") > 5


def test_a_species_does_not_depend_on_the_others(genomes):
    both = cut_pieces(genomes, length=250, sigma=0.2, pieces=30, seed=5)
    turned = cut_pieces(genomes[::-1], length=250, sigma=0.2, pieces=30, seed=5)
    other = cut_pieces(genomes, length=250, sigma=0.2, pieces=30, seed=6)
    assert cut_pieces(genomes, length=250, sigma=0.2, pieces=30, seed=5) == both
    of_g3 = [[o for o, label in zip(s.origins, s.labels, strict=True) if label == "g3"] for s in (both, turned, other)]
    assert of_g3[0] == of_g3[1] != of_g3[2]


def test_pieces_rich_in_n_are_not_taken(tmp_path, genomes):
    rng = np.random.default_rng(2)
    sequence = bytes(rng.choice(list(b"ACGT"), 6_000).tolist()) + b"N" * 5_000
    write_fasta(tmp_path / "n.fa.gz", [("c", sequence)])
    found = cut_pieces([*genomes, Genome("n", str(tmp_path / "n.fa.gz"), {})], length=500)
    assert found.labels.count("n") == 12


def test_species_with_few_pieces_are_left_out_and_two_must_remain(tmp_path, genomes):
    write_fasta(tmp_path / "short.fa.gz", [("c", b"ACGT" * 1000)])
    short = Genome("short", str(tmp_path / "short.fa.gz"), {})
    found = cut_pieces([*genomes, short], length=500)
    assert found.left_out == 1 and "short" not in found.labels
    with pytest.raises(InputError, match="found 1 of 2 species with at least 10 sequences"):
        cut_pieces([genomes[0], short], length=500)


def test_a_written_set_is_the_published_format_and_reads_back(tmp_path, genomes):
    made = cut_pieces(genomes, length=400, pieces=20)
    made.write(tmp_path / "set.tsv.gz")
    sequences, labels = read_labelled(tmp_path / "set.tsv.gz")
    assert [s.encode() for s in sequences] == made.sequences and labels == made.labels
    again = read_set(tmp_path / "set.tsv.gz")
    assert again.sequences == made.sequences and again.describe() == made.describe()
    fewer = read_set(tmp_path / "set.tsv.gz", pieces=12, seed=3)
    assert {fewer.labels.count(name) for name in ("A a", "g3")} == {12}
    assert set(fewer.sequences) < set(made.sequences)


def test_the_table_of_sets(tmp_path):
    (tmp_path / "set.tsv").write_text("ACGT\ta\n")
    (tmp_path / "genomes.tsv").write_text("genome_id\tfasta\n")
    table = tmp_path / "sets.tsv"
    table.write_text(
        "set\tsequences\tgenomes\tlength\tsigma\tpieces\tseed\n"
        f"given\t{tmp_path / 'set.tsv'}\n"
        f"cut\t\t{tmp_path / 'genomes.tsv'}\t7000\t0.6\t\t0\n"
    )
    given, cut = load_sets(table).values()
    assert (given.sequences, given.pieces, given.seed) == (str(tmp_path / "set.tsv"), None, 1)
    assert (cut.length, cut.sigma, cut.pieces, cut.seed) == (7000, 0.6, 100, 0)


def test_all_faults_of_the_table_of_sets_come_together(tmp_path):
    (tmp_path / "set.tsv").write_text("ACGT\ta\n")
    table = tmp_path / "sets.tsv"
    table.write_text(
        "set\tsequences\tgenomes\tlength\tsigma\tpieces\n"
        "none\n"
        f"both\t{tmp_path / 'set.tsv'}\t{tmp_path / 'set.tsv'}\n"
        f"given\t{tmp_path / 'set.tsv'}\t\t500\n"
        f"plots\t{tmp_path / 'set.tsv'}\n"
        f"cut\t\t{tmp_path / 'set.tsv'}\t\t-1\t5\n"
    )
    with pytest.raises(FaultsError) as raised:
        load_sets(table)
    text = str(raised.value)
    for part in (
        "found 'neither'",
        "found 'both'",
        "are not cut",
        "length of a piece",
        "at least 0",
        "at least 10",
        "found 'plots'",
    ):
        assert part in text
    table.write_text("set\tsequences\n")
    with pytest.raises(FaultsError, match="at least one labelled set"):
        load_sets(table)

"""Marker genes by k-mers: a table learned from made-up families, and the one that is shipped."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from Bio.Seq import Seq
from protein_families import CODONS, LENGTH, N_FAMILIES, genome, random_protein, relative

from workflow_lib.errors import InputError
from workflow_lib.fasta import reverse_complement, write_fasta
from workflow_lib.markers.kmer_search import MarkerSearch, find_codes, find_kmer_markers, mark_codes, protein_codes
from workflow_lib.markers.table import N_CODES, RESIDUES, K, load_table, save_table
from workflow_lib.markers.training import Member, build_table, choose_thresholds, count_codes, mark_archaeal, measure

NAMES = [f"family{family}" for family in range(N_FAMILIES)]


def members_of(seed: int) -> tuple[list[tuple[str, str, bytes]], list[Member]]:
    """A genome of `protein_families.genome` and its genes."""
    contigs, members = [], []
    for number, sequence in enumerate(genome(seed)):
        contigs.append((f"g{seed}", str(number), sequence.encode()))
        for family in range(number, N_FAMILIES, 6):
            protein = relative(random_protein(family), 10_000 * seed + family)
            coding = "".join(CODONS[letter] for letter in protein)
            start = sequence.index(coding) + 1
            members.append(Member(f"g{seed}", family, str(number), start, start + len(coding) - 1, "+", protein))
    return contigs, members


@pytest.fixture(scope="module")
def learned():
    contigs, members = zip(*(members_of(seed) for seed in range(1, 13)), strict=True)
    background = count_codes(sequence for one in contigs for _, _, sequence in one)
    return build_table([member for one in members for member in one], background, NAMES)


def code_of(residues: str) -> int:
    code = 0
    for residue in residues:
        code = 20 * code + RESIDUES.index(residue)
    return code


@pytest.mark.parametrize("letters", ["ACGT", "ACGTNRY", "acgtu"])
def test_codes_are_those_of_the_six_reading_frames(letters):
    sequence = "".join(np.random.default_rng(1).choice(list(letters), 300))
    strands = find_codes(sequence, mark_codes(np.arange(N_CODES)))
    forward, reverse = (dict(zip(places.tolist(), codes.tolist(), strict=True)) for places, codes in strands)
    for start in range(len(sequence) - 3 * K + 1):
        window = sequence.upper().replace("U", "T")[start : start + 3 * K]
        for codes, text in ((forward, window), (reverse, str(Seq(window).reverse_complement()))):
            readable = set(window) <= set("ACGT")
            residues = str(Seq(text).translate(table=11)) if readable else "*"
            assert codes.pop(start, -1) == (-1 if "*" in residues else code_of(residues))
    assert not forward and not reverse
    some = np.sort(strands[0][1])[::3]
    for (places, codes), own in zip(find_codes(sequence, mark_codes(some)), strands, strict=True):
        kept = np.isin(own[1], some)
        assert (places.tolist(), codes.tolist()) == (own[0][kept].tolist(), own[1][kept].tolist())


def test_codes_of_a_protein():
    assert protein_codes("ACDEFG").tolist() == [code_of("ACDEF"), code_of("CDEFG")]
    assert protein_codes("ACDXFGHIKL").tolist() == [-1] * 4 + [code_of("FGHIK"), code_of("GHIKL")]
    assert len(protein_codes("ACD")) == 0


def test_genes_of_a_new_genome_are_found_where_they_are(learned):
    contigs, members = members_of(99)
    search = MarkerSearch(learned)
    found = {(name, gene.marker): gene for _, name, sequence in contigs for gene in search.genes(name, sequence)}
    hit = [
        found[member.contig, NAMES[member.family]]
        for member in members
        if (member.contig, NAMES[member.family]) in found
    ]
    assert len(hit) >= 11  # of 12
    assert len(found) == len(hit)
    for member in members:
        if gene := found.get((member.contig, NAMES[member.family])):
            assert member.start <= gene.start and gene.end <= member.end and gene.strand == "+"
            assert gene.end - gene.start > LENGTH


def test_the_other_strand_and_lower_case_have_the_same_genes(learned):
    search = MarkerSearch(learned)
    for _, name, sequence in members_of(98)[0]:
        genes = search.genes(name, sequence)
        assert search.genes(name, sequence.lower()) == genes
        mirrored = search.genes(name, reverse_complement(sequence))
        places = [(len(sequence) + 1 - gene.end, len(sequence) + 1 - gene.start, gene.marker) for gene in mirrored]
        assert sorted(places) == sorted((gene.start, gene.end, gene.marker) for gene in genes)
        assert {gene.strand for gene in mirrored} <= {"-"}


def test_a_family_twice_on_a_contig_is_two_genes_and_a_gap_in_it_one(learned):
    search = MarkerSearch(learned)
    contig = next(sequence for _, name, sequence in members_of(97)[0] if name == "0")
    once = [gene.marker for gene in search.genes("c", contig)]
    assert sorted(gene.marker for gene in search.genes("c", contig + contig)) == sorted(once * 2)
    first = search.genes("c", contig)[0]
    middle = (first.start + first.end) // 2
    cut = contig[:middle] + b"N" * 30 + contig[middle:]
    assert [gene.marker for gene in search.genes("c", cut)] == once


@pytest.mark.parametrize("n_inserted", [40, 60])
def test_a_gene_with_an_insertion_is_one(learned, n_inserted):
    search = MarkerSearch(learned)
    contig = next(sequence for _, name, sequence in members_of(97)[0] if name == "0")
    genes = search.genes("c", contig)
    middle = (genes[0].start + genes[0].end) // 2
    more = "".join(np.random.default_rng(5).choice(list(CODONS.values()), n_inserted)).encode()
    found = search.genes("c", contig[:middle] + more + contig[middle:])
    assert [gene.marker for gene in found] == [gene.marker for gene in genes]
    assert found[0].end - found[0].start > genes[0].end - genes[0].start + 2 * n_inserted


def test_a_gene_is_followed_past_k_mers_of_its_family_that_do_not_fit(learned):
    """Between every two stretches of the gene, each too short for a gene, lies one of another place in the family."""
    coding = "".join(CODONS[letter] for letter in random_protein(0))
    stray = coding[3 * 165 : 3 * 173]
    parts = [coding[start : start + 30] for start in range(0, 3 * 150, 30)]
    genes = MarkerSearch(learned).genes("c", "TAA" * 50 + stray.join(parts) + "TAA" * 50)
    assert [gene.marker for gene in genes] == ["family0"]
    assert genes[0].end - genes[0].start > 3 * LENGTH


def test_a_motif_of_two_families_weighs_less_than_one_of_a_single_family():
    rng = np.random.default_rng(6)
    letters = list(RESIDUES)
    motif, own = "GHVDHGKTTL", "WCWHMYFQPN"

    def random_part(n):
        return "".join(rng.choice(letters, n))

    def members(family, inserted):
        return [
            Member(f"g{i}", family, "0", 1, 300, "+", random_part(60) + inserted + random_part(30)) for i in range(20)
        ]

    proteins = members(0, motif + own) + members(1, motif)
    background = np.zeros(20**K, dtype=np.int64)
    background[0] = 10_000_000  # the rest of the genomes
    for member in proteins:
        np.add.at(background, protein_codes(member.protein), 1)
    table = build_table(proteins, background, ["a", "b"])
    weight = dict(zip(table.codes.tolist(), table.weight.tolist(), strict=True))
    assert weight[code_of(own[:K])] > 2 + weight.get(code_of(motif[:K]), 0.0)


def test_a_gene_that_is_cut_by_the_ends_of_two_contigs_is_found_on_one_at_most(learned):
    search = MarkerSearch(learned)
    contig = next(sequence for _, name, sequence in members_of(97)[0] if name == "0")
    first = search.genes("c", contig)[0]
    n_found = []
    for share in (0.2, 0.4, 0.6, 0.8):
        cut = int(first.start + share * (first.end - first.start))
        parts = [search.genes("c", part) for part in (contig[:cut], contig[cut:])]
        n_found.append(sum(gene.marker == first.marker for part in parts for gene in part))
    assert max(n_found) == 1 and sum(n_found) >= 2


@pytest.mark.parametrize("sequence", [b"", b"ACGT", b"N" * 100])
def test_nothing_is_found_in_nothing(learned, sequence):
    assert MarkerSearch(learned).genes("c", sequence) == []


def test_thresholds_keep_false_genes_out_and_drop_families_that_are_not_found(learned):
    contigs, members = members_of(96)
    true, false, n_bp = measure(learned, contigs, members)
    assert len(true) == N_FAMILIES and n_bp == sum(len(sequence) for _, _, sequence in contigs)
    assert np.count_nonzero(true[:, 1]) >= 11
    true = np.array([[family, 100.0] for family in range(N_FAMILIES)])
    true[3, 1] = 0.0
    false = np.array([[5, 60.0], [5, 80.0]])
    learned = replace(learned, archaeal=np.arange(N_FAMILIES) >= 4)
    table, found, wrong = choose_thresholds(learned, true, false, 1_000_000)
    assert table.families == [name for name in NAMES if name != "family3"]
    assert (found == 1).all() and not wrong.any()
    assert 80 < table.thresholds[table.families.index("family5")] < 81
    assert len(table.codes) < len(learned.codes)
    assert table.archaeal.tolist() == [False] * 3 + [True] * (N_FAMILIES - 4)
    assert {table.families[family] for family in table.family} == set(table.families)


def test_a_table_is_written_and_read_again(learned, tmp_path):
    learned = replace(learned, archaeal=np.arange(len(learned.families)) % 3 == 0)
    save_table(tmp_path, learned, {"genomes": 12})
    read = load_table(tmp_path)
    assert read.families == learned.families
    for name in ("lengths", "thresholds", "codes", "family", "place", "weight", "archaeal"):
        np.testing.assert_array_equal(getattr(read, name), getattr(learned, name))
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match="safetensors"):
        load_table(tmp_path)


def test_columns_that_do_not_fit_are_refused(learned):
    for name in ("weight", "archaeal"):
        with pytest.raises(InputError, match="one length"):
            replace(learned, **{name: getattr(learned, name)[:-1]})
    with pytest.raises(InputError, match="ascending"):
        replace(learned, codes=learned.codes[::-1])


def rows(path) -> list[dict[str, str]]:
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def test_tables_do_not_depend_on_threads(learned, tmp_path):
    save_table(tmp_path / "table", learned, {})
    contigs = [(f"{genome_id}_{name}", sequence) for genome_id, name, sequence in members_of(95)[0]]
    write_fasta(tmp_path / "contigs.fa.gz", contigs)
    for threads in (1, 3):
        paths = {"genes_table": tmp_path / f"{threads}.tsv", "families_table": tmp_path / f"{threads}f.tsv"}
        n = find_kmer_markers(tmp_path / "contigs.fa.gz", **paths, threads=threads, folder=tmp_path / "table")
        assert n == len(rows(paths["genes_table"])) >= 11
    assert (tmp_path / "1.tsv").read_bytes() == (tmp_path / "3.tsv").read_bytes()
    assert [row["marker"] for row in rows(tmp_path / "1f.tsv")] == NAMES
    assert {(row["cutoff"], row["in_archaea"]) for row in rows(tmp_path / "1f.tsv")} == {("score", "yes")}


def test_families_of_archaea_are_marked(learned, tmp_path):
    """Archaea that have every other family, each genome in three contigs; a family is in one of them only."""
    seeds = (91, 92, 93)
    contigs = [contig for seed in seeds for contig in members_of(seed)[0] if int(contig[1]) % 2 == 0]
    assert len(contigs) == 9
    marked = mark_archaeal(learned, contigs)
    assert marked.archaeal.tolist() == [family % 2 == 0 for family in range(N_FAMILIES)]
    save_table(tmp_path / "table", marked, {})
    write_fasta(tmp_path / "contigs.fa.gz", [])
    paths = {"genes_table": tmp_path / "genes.tsv", "families_table": tmp_path / "families.tsv"}
    find_kmer_markers(tmp_path / "contigs.fa.gz", **paths, folder=tmp_path / "table")
    assert [row["in_archaea"] for row in rows(tmp_path / "families.tsv")] == ["yes", "no"] * (N_FAMILIES // 2)


def test_the_shipped_table_finds_next_to_nothing_in_random_sequence():
    table = load_table()
    assert len(table.families) >= 60
    rng = np.random.default_rng(4)
    search = MarkerSearch(table)
    genes = [
        gene
        for _ in range(20)
        for gene in search.genes("c", rng.choice(list(b"ACGT"), 50_000).astype(np.uint8).tobytes())
    ]
    assert len(genes) <= 3


@pytest.mark.shared
def test_the_shipped_families_are_single_copy_in_genomes_of_other_genera(shared):
    """Dev genomes are up to 1.45 Mbp of a genome: a third to all of the families, hardly any twice."""
    from workflow_lib.fasta import read_fasta

    with open(shared / "genomes/dev.tsv", newline="") as handle:
        table = [row for row in csv.DictReader(handle, delimiter="\t") if row["domain"] == "Bacteria"]
    chosen = [row for row in table if row["held_out_at"] in ("genus", "phylum")][:8]
    search, n_families = MarkerSearch(load_table()), len(load_table().families)
    for row in chosen:
        records = read_fasta(shared / f"genomes/dev/{row['genome_id']}.fa.gz")
        names = [gene.marker for record in records for gene in search.genes(record.name, record.sequence)]
        found = len(set(names))
        assert found > 0.1 * n_families
        assert len(names) - found <= max(3, 0.15 * found)

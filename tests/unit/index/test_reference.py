"""Reference genomes to windows and pieces, with a real embedder."""

import numpy as np
import pytest

from workflow_lib.embed import load_embedder
from workflow_lib.errors import InputError
from workflow_lib.fasta import reverse_complement, write_fasta
from workflow_lib.index.reference import embed_reference, join_stores, length_strata
from workflow_lib.index.windows import parse_window
from workflow_lib.store import write_store
from workflow_lib.tables import Genome

STRATA = (500, 1000, 2000)


def random_sequence(seed, length):
    return bytes(np.random.default_rng(seed).choice(np.frombuffer(b"ACGT", np.uint8), length))


@pytest.fixture
def embed(tmp_path):
    def run(genomes, *, lineages=None, **options):
        rows = []
        for name, contigs in genomes.items():
            write_fasta(tmp_path / f"{name}.fa.gz", contigs)
            rows.append(Genome(name, str(tmp_path / f"{name}.fa.gz"), (lineages or {}).get(name, {})))
        settings = {"window": 1000, "strata": STRATA, "pieces": 4, "seed": 1} | options
        return embed_reference(
            load_embedder("tnf"), rows, shard_folder=tmp_path / "shards", shard_mbp=0.004, **settings
        )

    return run


def test_vectors_are_those_of_the_named_stretches(embed):
    genomes = {
        "a": [("c1", random_sequence(1, 3200)), ("c|2", random_sequence(2, 700))],
        "b": [("c1", random_sequence(3, 2600))],
    }
    windows, pieces = embed(genomes)
    assert [name.split("|", 1)[0] for name in windows.names] == ["a"] * 4 + ["b"] * 3
    embedder = load_embedder("tnf")
    for store in (windows, pieces):
        for name, vector in zip(store.names, store.vectors, strict=True):
            genome, contig, start, end = parse_window(name)
            assert np.array_equal(embedder.embed([dict(genomes[genome])[contig][start:end]])[0], vector)


def test_pieces_lie_in_their_strata_and_are_distinct(embed):
    _, pieces = embed({"a": [("c1", random_sequence(1, 5000))]})
    lengths = [end - start for *_, start, end in map(parse_window, pieces.names)]
    assert sum(500 <= length < 1000 for length in lengths) == 4
    assert sum(1000 <= length < 2000 for length in lengths) == 4
    assert len(set(pieces.names)) == len(pieces.names) == 8


def test_a_genome_rich_in_n_gives_all_its_pieces(embed):
    """Of contigs of which three in four have no letters a place in four has some."""
    genome = [(f"c{i}", random_sequence(i, 3000) if i % 4 == 0 else b"N" * 3000) for i in range(40)]
    _, pieces = embed({"a": genome})
    assert len(pieces.names) == 8


def test_a_genome_of_short_contigs_gives_no_long_pieces(embed):
    _, pieces = embed({"a": [(f"c{i}", random_sequence(i, 800)) for i in range(5)]})
    assert {end - start < 1000 for *_, start, end in map(parse_window, pieces.names)} == {True}


def test_pieces_depend_on_the_seed_and_the_genome_only(embed):
    genomes = {name: [("c1", random_sequence(i, 4000))] for i, name in enumerate("abc")}
    names = embed(genomes)[1].names
    assert embed(dict(reversed(genomes.items())))[1].names[-8:] == names[:8]
    assert embed(genomes, seed=2)[1].names != names


def test_duplicate_and_empty_genomes_are_left_out(embed, caplog):
    same = random_sequence(1, 3000)
    windows, pieces = embed(
        {"a": [("x", same)], "b": [("y", same)], "c": [("z", b"N" * 3000)], "d": [], "e": [("s", b"ACGT")]}
    )
    assert {parse_window(name)[0] for name in windows.names + pieces.names} == {"a"}
    assert windows.manifest["genomes_left_out"] == {"duplicates": ["b"], "empty": ["c", "d", "e"]}
    assert "genome b has the sequences of a" in caplog.text


def test_copies_are_found_on_either_strand_and_told_with_both_names(embed, caplog):
    one, two = random_sequence(1, 3000), random_sequence(2, 1500)
    flipped = {
        "b": [("y", two), ("x", reverse_complement(one))],
        "c": [("x", reverse_complement(one)), ("y", two[:-1])],
    }
    lineages = {"a": {"genus": "A", "species": "A a"}, "b": {"genus": "A", "species": "A b"}}
    windows, pieces = embed({"a": [("x", one), ("y", two)], **flipped}, lineages=lineages)
    assert {parse_window(name)[0] for name in windows.names + pieces.names} == {"a", "c"}
    assert windows.manifest["genomes_left_out"]["duplicates"] == ["b"]
    assert {record.getMessage().split(";")[0] for record in caplog.records} == {
        "genome b (s__A b) has the sequences of a (s__A a), which has another lineage"
    }


def test_no_genome_gives_empty_stores(embed):
    windows, pieces = embed({"a": []})
    assert windows.vectors.shape == pieces.vectors.shape == (0, 256)


def test_a_contig_name_twice_is_refused(embed):
    with pytest.raises(InputError, match=r"a.fa.gz, line 3: contig 'x' of genome a stands there twice"):
        embed({"a": [("x", b"ACGT"), ("x", b"ACGA")]})


def test_stores_of_shards_are_joined(embed, tmp_path):
    stores = [embed({"a": [("c1", random_sequence(1, 3200))]})[0], embed({"b": [("c1", random_sequence(2, 3200))]})[0]]
    for number, store in enumerate(stores):
        write_store(tmp_path / str(number), store)
    joined = join_stores([tmp_path / "0", tmp_path / "1"])
    assert joined.names == stores[0].names + stores[1].names
    assert (joined.vectors == np.concatenate([store.vectors for store in stores])).all()
    assert list(joined.manifest["digests"]) == ["a", "b"]
    write_store(tmp_path / "2", embed({"a": [("c1", random_sequence(1, 3200))]}, window=500)[0])
    with pytest.raises(InputError, match="2: window 500, the first shard has 1000"):
        join_stores([tmp_path / "0", tmp_path / "2"])


def test_genomes_put_first_leave_the_others_embedded(embed, caplog):
    """Shards of vectors hold one genome each: what is there is read, whatever is added and wherever."""
    caplog.set_level("INFO")
    genomes = {name: [("c1", random_sequence(i, 9000))] for i, name in enumerate("bcd")}
    before = embed(genomes)
    computed = [record.args[1] for record in caplog.records if "reused" in record.getMessage()]
    caplog.clear()
    after = embed({"a": [("c1", random_sequence(9, 2000))], **genomes})
    reused = [record.args[2] for record in caplog.records if "reused" in record.getMessage()]
    assert reused == computed
    assert min(reused) > 0
    for old, new in zip(before, after, strict=True):
        assert new.names[-len(old.names) :] == old.names
        assert np.array_equal(new.vectors[-len(old.names) :], old.vectors)


def test_strata_begin_at_the_shortest_query():
    assert length_strata(2500) == (2500, 5000, 10_000, 20_000, 50_000)
    assert length_strata(3000)[:2] == (3000, 5000)
    assert length_strata(200_000) == (200_000, 400_000)

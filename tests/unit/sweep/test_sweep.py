"""The sweep on small random genomes: what is held out, what is measured, and what is recommended."""

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from workflow_lib.embed import load_embedder
from workflow_lib.errors import InputError
from workflow_lib.fasta import write_fasta
from workflow_lib.index.windows import parse_window
from workflow_lib.store import read_store
from workflow_lib.sweep.data import make_sweep, read_sweep
from workflow_lib.sweep.measure import describe_answers, measure_factory, measure_rows
from workflow_lib.sweep.mmseqs import measure_mmseqs
from workflow_lib.sweep.page import pareto_front, recommend, write_sweep
from workflow_lib.sweep.split import cut_queries, split_genomes
from workflow_lib.tables import Genome

N_GENOMES, LENGTH, WINDOW = 24, 20_000, 1_000


def random_sequence(seed, length, weights):
    return bytes(np.random.default_rng(seed).choice(np.frombuffer(b"ACGT", np.uint8), length, p=weights))


@pytest.fixture(scope="module")
def genomes(tmp_path_factory):
    """Six phyla of two genera of two genomes; a phylum has a composition of its own."""
    folder = tmp_path_factory.mktemp("genomes")
    rows = []
    for number in range(N_GENOMES):
        weights = np.random.default_rng(number // 4).dirichlet(np.full(4, 20))
        path = folder / f"g{number}.fa.gz"
        write_fasta(path, [("c", random_sequence(number, LENGTH, weights))])
        lineage = {"phylum": f"P{number // 4}", "genus": f"G{number // 2}", "species": f"S{number}"}
        rows.append(Genome(f"g{number}", str(path), lineage))
    return rows


@pytest.fixture(scope="module")
def swept(genomes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    options = {"window": WINDOW, "length": 600, "count": 5, "share": 0.2, "neighbours": 5, "seed": 1}
    make_sweep(load_embedder("tnf-k"), genomes, folder, shard_folder=folder / "shards", shard_mbp=1, **options)
    return folder


@pytest.fixture(scope="module")
def data(swept, genomes):
    return read_sweep(swept, {genome.name: genome.taxonomy for genome in genomes})


def test_whole_clades_are_held_out(genomes):
    groups = split_genomes(genomes, share=0.2, seed=1).groups
    assert set(groups.values()) == {"known", "genus", "phylum"}
    for rank in ("genus", "phylum"):
        out = {genome.taxonomy[rank] for genome in genomes if groups[genome.name] == rank}
        assert all(groups[genome.name] != "known" for genome in genomes if genome.taxonomy[rank] in out)


def test_a_reference_without_clades_is_refused(genomes):
    unnamed = [Genome(genome.name, genome.fasta, {}) for genome in genomes]
    with pytest.raises(InputError, match="of 24 genomes 24 would be indexed and 0 held out"):
        split_genomes(unnamed, share=0.2, seed=1)


@pytest.mark.parametrize(("n_windows", "expected"), [(1, 0), (2, 1), (7, 1), (30, 3)])
def test_windows_withheld_of_an_indexed_genome(tmp_path, n_windows, expected):
    path = tmp_path / "g.fa.gz"
    write_fasta(path, [("c", random_sequence(0, n_windows * WINDOW, np.full(4, 0.25)))])
    genome, options = Genome("g", str(path), {}), {"window": WINDOW, "length": 600, "count": 5, "seed": 1}
    asked = [is_query for is_query, *_ in cut_queries(genome, "known", **options)]
    assert (sum(asked), len(asked)) == (expected, n_windows)


def test_genomes_of_one_window_cannot_be_asked_for(genomes, tmp_path):
    options = {"window": LENGTH, "length": 600, "count": 5, "share": 0.2, "neighbours": 5, "seed": 1}
    with pytest.raises(InputError, match="there are no known queries"):
        make_sweep(load_embedder("tnf-k"), genomes, tmp_path, shard_folder=tmp_path / "s", shard_mbp=1, **options)


def test_no_query_overlaps_the_index(swept, data):
    rows = {parse_window(name)[:3] for name in data.windows.names}
    queries = [parse_window(name) for name in read_store(swept / "queries").names]
    assert not any((genome, contig, start) in rows for genome, contig, start, _ in queries)
    assert {end - start for *_, start, end in queries} == {600}
    assert {genome for genome, *_ in rows}.isdisjoint(
        genome for genome, group in zip(data.genomes, data.groups, strict=True) if group != "known"
    )


def test_exact_search_is_its_own_standard(data):
    (measures,) = measure_factory(data, "Flat").to_dict("records")
    assert measures["recall_1_known"] == measures["recall_k_genus"] == measures["recall_1_phylum"] == 1
    assert measures["false_novel"] <= 0.05
    assert measures["index_mb"] > 4e-6 * data.windows.vectors.size
    assert measures["nearest_phylum"] >= measures["nearest_known"]


def test_nothing_found_is_nothing_right(data):
    nothing = np.full_like(data.rows, -1)
    answers = describe_answers(data, nothing)
    assert answers["recall_1_known"] == answers["recall_k_phylum"] == answers["accuracy_phylum"] == 0
    assert answers["false_novel"] == 1
    assert np.isinf(measure_rows(data, nothing[:, 0])).all()


def test_more_lists_find_more(data):
    measures = measure_factory(data, "IVF8,Flat")
    assert (measures["nprobe"].diff().dropna() > 0).all()
    recall = measures["recall_1_phylum"].to_numpy()
    assert (np.diff(recall) >= 0).all()
    assert recall[-1] > recall[0]


def test_a_kind_that_cannot_be_built_is_a_row_with_its_reason(data):
    (row,) = measure_factory(data, "IVF4096,Flat").to_dict("records")
    assert "cannot train IVF4096,Flat" in row["error"]


ALL_RIGHT = {f"recall_1_{group}": [1, 0.995, 0.995, 1.0] for group in ("known", "genus", "phylum")}


def make_measures(**changes):
    rows = pd.DataFrame(
        {
            "asked": ["Flat", "IVF8,Flat", "IVF8,Flat", "PCA8,Flat"],
            "factory": ["Flat", "IVF8,Flat", "IVF8,Flat", "PCA8,Flat"],
            "nprobe": [np.nan, 1, 4, np.nan],
            "true_distances": [True, True, True, False],
            "search_s": [10.0, 1.0, 3.0, 0.5],
            "calls_s": [20.0, 2.0, 6.0, 1.0],
            "false_novel": [0.05, 0.2, 0.055, 0.05],
            **{f"recall_1_{group}": [1, 0.7, 0.995, 1.0] for group in ("known", "genus", "phylum")},
        }
    )
    return rows.assign(**changes)


def test_the_fastest_kind_that_is_right_is_recommended():
    chosen = recommend(make_measures(), recall=0.99)
    assert chosen["index"] == {"factory": "IVF8,Flat", "nprobe": 4, "ef_search": None, "k_factor": None}
    assert "calls 3.3 times as fast" in chosen["reason"]


def test_of_two_that_are_right_the_one_that_calls_faster_is_recommended():
    measures = make_measures(**ALL_RIGHT, false_novel=0.05, calls_s=[20.0, 6.0, 2.5, 1.0])
    chosen = recommend(measures, recall=0.99)
    assert chosen["index"]["nprobe"] == 4
    assert "calls 8.0 times as fast" in chosen["reason"]


def test_what_only_searches_fast_is_not_recommended():
    measures = make_measures(**ALL_RIGHT, false_novel=0.05, calls_s=[20.0, 21.0, 6.0, 1.0])
    assert recommend(measures, recall=0.99)["index"]["nprobe"] == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"recall_1_phylum": [1, 0.7, 0.9, 1.0]},
        {"calls_s": [8.0, 2.0, 6.0, 1.0]},
        {"false_novel": [0.05, 0.2, 0.07, 0.05]},
    ],
)
def test_else_exact_search_is(changes):
    assert recommend(make_measures(**changes), recall=0.99)["index"]["factory"] == "Flat"


def test_the_pareto_front():
    assert pareto_front(make_measures()).tolist() == [False, False, False, True]
    assert pareto_front(make_measures(recall_1_phylum=[1, 0.7, 0.99, 0.6])).tolist() == [True, True, True, True]


def test_page_and_plots(data, tmp_path):
    measures = pd.concat([measure_factory(data, kind) for kind in ("Flat", "IVF8,Flat", "IVF4096,Flat")])
    measures = measures.reset_index(drop=True)
    write_sweep(tmp_path, measures, data, recall=0.99, title="A sweep")
    page = (tmp_path / "sweep.md").read_text()
    assert "| IVF8,Flat | nprobe 1 |" in page
    assert "| search s | calls s |" in page
    assert (measures["calls_s"].dropna() > 0).sum() == 1 + measures["nprobe"].notna().sum()
    assert "| IVF4096,Flat | not built: 288 windows cannot train" in page
    assert set(yaml.safe_load((tmp_path / "recommendation.yaml").read_text())["index"]) >= {"factory", "nprobe"}
    assert len(pd.read_csv(tmp_path / "sweep.tsv", sep="\t")) == len(measures)
    for name in ("pareto", "recall", "distances"):
        assert (tmp_path / f"plots/{name}.svg").read_text().count("<path") > 10


@pytest.mark.peers
def test_mmseqs_finds_what_is_in_the_index(data, swept, genomes):
    if shutil.which("mmseqs") is None:
        pytest.skip("MMseqs2 is not installed")
    (row,) = measure_mmseqs(data, swept, threads=1).to_dict("records")
    assert row["accuracy_species"] == 0, "queries and windows share no stretch, and the genomes are random"
    assert row["false_novel"] == 1

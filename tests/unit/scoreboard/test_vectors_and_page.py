"""From a labelled set to the page: vectors of halves and prefixes, the file between jobs, tables and HTML."""

from dataclasses import replace

import numpy as np
import pytest

from workflow_lib.bin.metric import Pieces
from workflow_lib.embed import load_embedder
from workflow_lib.errors import InputError
from workflow_lib.scoreboard.labelled import LabelledSet
from workflow_lib.scoreboard.page import write_scoreboard
from workflow_lib.scoreboard.stage import score_set, write_facts, write_table
from workflow_lib.scoreboard.vectors import SetVectors, choose_lengths, embed_set, train_and_load_vae
from workflow_lib.tables import SetSource

SHOTS = (1, 2)


@pytest.fixture(scope="module")
def labelled() -> LabelledSet:
    """Four species of different base composition, 15 sequences of 1.5 to 3 kbp each."""
    rng = np.random.default_rng(1)
    sequences, labels = [], []
    for number in range(4):
        weights = rng.dirichlet(np.full(4, 8))
        for _ in range(15):
            sequences.append(bytes(rng.choice(list(b"ACGT"), rng.integers(1500, 3000), p=weights).tolist()))
            labels.append(f"species {number} & <co>")
    return LabelledSet(sequences, labels, [""] * len(labels))


@pytest.fixture(scope="module")
def embedded(labelled, tmp_path_factory) -> SetVectors:
    shards = tmp_path_factory.mktemp("shards")
    return embed_set(load_embedder("tnf", threads=1), labelled, lengths=(64, 256, 8192), shard_folder=shards)


def test_vectors_are_those_of_the_sequences_their_halves_and_beginnings(embedded, labelled):
    tnf = load_embedder("tnf", threads=1)
    assert (embedded.vectors == tnf.embed(labelled.sequences)).all()
    assert sorted(embedded.prefixes) == [64, 256]
    prefixes = [labelled.sequences[row][:256] for row in embedded.prefix_rows]
    assert (embedded.prefixes[256] == tnf.embed(prefixes)).all()
    long = np.flatnonzero(labelled.lengths >= 2000)
    assert embedded.pieces.rows.tolist() == long.tolist()
    row = long[3]
    half = len(labelled.sequences[row]) // 2
    expected = tnf.embed([labelled.sequences[row][:half], labelled.sequences[row][-half:]])
    assert (embedded.pieces.vectors[3] == expected).all()


@pytest.mark.parametrize(
    ("sequences", "told"),
    [
        ([b"N" * 500] * 20, "tnf gives none of the 20 sequences a vector"),
        ([b"ACGGTCA" * 90] * 20, "tnf gives all 20 sequences the same vector"),
        ([b"ACGGTCA" * 90, b"N" * 500] * 10, "tnf gives 10 of 20 sequences no vector"),
        ([b"ACGGTCA" * 90, b"TTGAC" * 100] * 10, ""),
    ],
)
def test_vectors_that_tell_nothing_apart_are_told(tmp_path, caplog, sequences, told):
    labelled = LabelledSet(sequences, ["one"] * 10 + ["other"] * 10, [""] * 20)
    embed_set(load_embedder("tnf", threads=1), labelled, lengths=(64,), shard_folder=tmp_path)
    assert told in caplog.text
    assert bool(caplog.text) is bool(told)


def test_file_between_jobs(embedded, tmp_path):
    embedded.write(tmp_path / "vectors.npz")
    again = SetVectors.read(tmp_path / "vectors.npz")
    assert (again.embedder, again.fingerprint) == ("tnf", embedded.fingerprint)
    assert (again.labels == embedded.labels).all() and (again.vectors == embedded.vectors).all()
    assert (again.adapted() == embedded.adapted()).all() and (again.prefix_rows == embedded.prefix_rows).all()
    assert all((again.prefixes[n] == embedded.prefixes[n]).all() for n in embedded.prefixes)
    (tmp_path / "other.npz").write_bytes(b"PK no archive")
    with pytest.raises(InputError, match="not the vectors of a labelled set"):
        SetVectors.read(tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("n_bp", "rows", "usable"),
    [
        ([100, 200, 400, 800], [3], [50, 500]),  # a quarter reaches 500
        ([100, 200, 400, 800, 90], [2, 3], [50, 300]),  # of five, one is less than a quarter
        ([10, 20], [], []),
    ],
)
def test_lengths_that_enough_sequences_reach(n_bp, rows, usable):
    lengths = (500, 50, 1000) if 500 in usable else (500, 50, 300)
    found_rows, found = choose_lengths(np.array(n_bp), lengths)
    assert (found_rows.tolist(), found) == (rows, usable)


def test_scores_hold_both_variants(embedded):
    enough = Pieces(*(np.tile(part, (4, *[1] * (part.ndim - 1))) for part in vars(embedded.pieces).values()))
    scores = score_set(replace(embedded, pieces=enough), shots=SHOTS, seeds=(1,))
    measures = {variant: set(rows["measure"]) for variant, rows in scores.groupby("variant")}
    assert measures["plain"] - measures["adapted"] == {"ari_dim", "ari_length"}
    assert measures["adapted"] == {
        "ari", "probed_species", "probe_macro_f1", "species_f1_gt", "species_f1_gt_binned",
    }  # fmt: skip


def test_vae_is_trained_on_the_set(labelled):
    embedder = train_and_load_vae(labelled)
    assert embedder.name == "tnf-vae" and embedder.embed(labelled.sequences[:2]).any(axis=1).all()


def make_page(folder, embedded, labelled, shots=SHOTS, **options):
    source = SetSource("one", None, "genomes.tsv", 2000, 0.3, 15, 1)
    write_facts(folder / "set.json", source, labelled)
    scores = {}
    for name in ("tnf", "other <b>"):
        path = folder / name / "scores.tsv"
        write_table(path, score_set(embedded, shots=shots, seeds=(1, 2)))
        scores["one", name] = path
    return write_scoreboard(folder, scores, {"one": folder / "set.json"}, shots=shots, **options)


def test_page_tables_and_plots(embedded, labelled, tmp_path):
    summary = make_page(tmp_path, embedded, labelled, not_run={"dna2vec": "no vectors"})
    page, text = ((tmp_path / f"scoreboard.{kind}").read_text() for kind in ("html", "md"))
    assert "dna2vec was not run" in page and "**dna2vec was not run**: no vectors" in text
    assert "other &lt;b&gt;" in page and "<b>" not in page
    assert "4 species, 15 sequences of each" in page
    assert "<script" not in page and 'src="http' not in page
    ari = summary.query("embedder == 'tnf' and variant == 'plain' and measure == 'ari'")["mean"].item()
    assert f"{ari:.3f}" in page and f"{ari:.3f}" in text
    table_lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table_lines) == 4 and len({line.count("|") for line in table_lines}) == 1
    assert (tmp_path / "plots/one.svg").read_text().startswith("<?xml")
    assert "10-shot" not in page  # it was not asked for
    assert (tmp_path / "scoreboard.tsv").read_text().startswith("set\tembedder\tvariant\tmeasure\tlevel\tmean\tsd")


def test_page_explains_the_columns_that_it_shows(embedded, labelled, tmp_path):
    make_page(
        tmp_path, replace(embedded, pieces=Pieces(*(part[:0] for part in vars(embedded.pieces).values()))), labelled
    )
    text = (tmp_path / "scoreboard.md").read_text()
    assert "adapted" not in text  # too few sequences have two halves
    assert "- 1-shot F1: macro F1 of a logistic regression that has seen 1 of each species" in text


@pytest.mark.parametrize(
    ("sizes", "shots", "told"),
    [
        ((15, 15, 15, 15), (1, 2), "Few-shot probing: all 4 species, 2 sequences of each set aside to train on."),
        (
            (15, 15, 15, 5), (1, 5, 10, 20),
            "Few-shot probing: 3 of 4 species, 10 sequences of each set aside to train on; 1 with no more than "
            "these took no part; not measured from more than 10.",
        ),
        ((15, 15, 15, 15), (20,), "No few-shot probing: fewer than two species have more than 20 sequences."),
    ],
)  # fmt: skip
def test_page_tells_which_species_were_probed(labelled, embedded, tmp_path, sizes, shots, told):
    kept = np.concatenate([15 * number + np.arange(size) for number, size in enumerate(sizes)])
    smaller = LabelledSet(*([values[i] for i in kept] for values in (labelled.sequences, labelled.labels, kept)))
    none = Pieces(*(part[:0] for part in vars(embedded.pieces).values()))
    rows = np.zeros(0, dtype=np.int64)
    vectors = replace(
        embedded, labels=embedded.labels[kept], vectors=embedded.vectors[kept], pieces=none, prefix_rows=rows,
        prefixes={},
    )  # fmt: skip
    summary = make_page(tmp_path, vectors, smaller, shots=shots)
    assert all(told in (tmp_path / f"scoreboard.{kind}").read_text() for kind in ("md", "html"))
    probed = summary[summary["measure"] == "probe_macro_f1"].set_index(["embedder", "level"])["mean"]
    measured = {level for (_, level), value in probed.items() if value == value}
    assert measured == {n for n in shots if n < max(sizes)}


def test_same_scores_same_page(embedded, labelled, tmp_path):
    for name in ("a", "b"):
        make_page(tmp_path / name, embedded, labelled)
    for file in ("scoreboard.html", "scoreboard.md", "scoreboard.tsv", "plots/one.svg"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()

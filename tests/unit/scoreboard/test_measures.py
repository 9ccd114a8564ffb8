"""Measures of the scoreboard: slow oracles, invariances, and sets whose result is known."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import ortho_group
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from workflow_lib.bin import class_center_percentiles, kmedoid
from workflow_lib.embed.base import unit_rows
from workflow_lib.errors import InputError
from workflow_lib.evaluate.kmeans import kmeans_ari
from workflow_lib.scoreboard import evaluate_embedding, evaluate_lengths, gap_closed, summarise_scores
from workflow_lib.scoreboard.measures import (
    F1_LEVELS,
    pool_dimensions,
    pooled_dims,
    probe_macro_f1,
    probing_pool,
    recovered_species,
)


def clouds(seed: int, *, species: int, each: int, dim: int = 16, spread: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around random species centres, in random order, and the codes of the species."""
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(species), each))
    centres = unit_rows(rng.standard_normal((species, dim)))
    return unit_rows(centres[codes] + spread * rng.standard_normal((len(codes), dim))), codes


def table_value(table, measure, level=None):
    rows = table[table["measure"] == measure]
    return (rows if level is None else rows[rows["level"] == level])["value"]


def test_species_far_apart_get_full_marks():
    vectors, codes = clouds(1, species=6, each=30, spread=0.02)
    table = evaluate_embedding(vectors, [f"species {code}" for code in codes], seeds=(1, 2))
    assert (table_value(table, "ari") == 1).all()
    assert (table_value(table, "probe_macro_f1") == 1).all()
    # A threshold at the 70th percentile of other species keeps some members out: unbinned ones count as missed.
    assert (table_value(table, "species_f1_gt_binned", 0.9) == 6).all()
    assert set(table.loc[table["measure"] == "ari_dim", "level"]) == {8, 16}
    assert (table.groupby(["measure", "level"], dropna=False)["seed"].apply(list).map(lambda s: s == [1, 2])).all()


def test_vectors_without_information_get_none():
    rng = np.random.default_rng(1)
    vectors = unit_rows(rng.standard_normal((400, 16)))
    labels = rng.permutation(np.repeat(np.arange(10), 40)).astype(str)
    table = evaluate_embedding(vectors, labels, seeds=(1, 2, 3))
    assert abs(table_value(table, "ari").mean()) < 0.03  # its expectation is 0
    assert table_value(table, "probe_macro_f1", 20).mean() < 0.2  # chance is 0.1
    assert (table_value(table, "species_f1_gt", 0.5) == 0).all()


def test_vectors_that_are_all_alike_are_a_valid_input():
    table = evaluate_embedding(np.full((60, 8), 8**-0.5), np.repeat(["a", "b"], 30), seeds=(1,))
    assert table_value(table, "ari").tolist() == [0.0]
    assert np.isfinite(table_value(table, "probe_macro_f1")).all()


def test_same_seed_same_scores():
    vectors, codes = clouds(2, species=5, each=25, spread=0.5)
    first, again = (evaluate_embedding(vectors, codes.astype(str), seeds=(3,)) for _ in range(2))
    assert first.equals(again)


def test_probe_follows_its_definition():
    """A slow reading of the docstring: which rows train and test, one scale, macro F1."""
    vectors, codes = clouds(3, species=5, each=12, spread=0.6)
    shots, seed = (1, 3, 6), 4
    shuffled = np.random.default_rng(seed).permutation(len(codes))
    order = {code: [row for row in shuffled if codes[row] == code] for code in range(5)}
    test = sorted(row for rows in order.values() for row in rows[6:])
    for n_shots, found in probe_macro_f1(vectors, codes, shots=shots, seed=seed).items():
        train = sorted(row for rows in order.values() for row in rows[:n_shots])
        mean = vectors[train].mean(axis=0, dtype=np.float64)
        scale = np.sqrt(((vectors[train] - mean) ** 2).mean())
        model = LogisticRegression(max_iter=5000).fit((vectors[train] - mean) / scale, codes[train])
        predicted = model.predict((vectors[test] - mean) / scale)
        assert found == pytest.approx(f1_score(codes[test], predicted, average="macro"), abs=0.02)  # rounding of ties


def test_probe_does_not_depend_on_rotation_scale_or_origin():
    vectors, codes = clouds(4, species=6, each=40, spread=0.5)
    turned = 7.5 * vectors @ ortho_group.rvs(16, random_state=1) + 3
    plain, moved = (probe_macro_f1(v, codes, shots=(1, 5), seed=1) for v in (vectors, turned))
    for shots, value in plain.items():
        assert moved[shots] == pytest.approx(value, abs=0.01)  # a row at a border may change sides


def test_probe_sets_aside_the_largest_pool_that_leaves_a_rest_in_two_species():
    vectors, codes = clouds(5, species=4, each=12, spread=0.1)
    sizes = {0: 12, 1: 11, 2: 6, 3: 5}
    kept = [row for row, code in enumerate(codes) if np.count_nonzero(codes[:row] == code) < sizes[code]]
    vectors, codes = vectors[kept], codes[kept]
    assert probing_pool(codes, (20, 10, 5, 1)) == (10, 2)
    assert probing_pool(codes, (5, 1)) == (5, 3)
    assert probing_pool(codes, (11, 12)) == (None, 0)
    found = probe_macro_f1(vectors, codes, shots=(1, 5, 10, 20), seed=1)
    assert [n for n, value in found.items() if np.isfinite(value)] == [1, 5, 10]
    # More shots than there can be change nothing of those that there are.
    assert found == pytest.approx(probe_macro_f1(vectors, codes, shots=(1, 5, 10), seed=1) | {20: np.nan}, nan_ok=True)
    assert np.isnan(list(probe_macro_f1(vectors, codes, shots=(12, 20), seed=1).values())).all()


@pytest.mark.parametrize("seed", [1, 2])
def test_recovered_species_follow_their_definition(seed):
    """Thresholds of one half of the species, species of the other half counted, by a dense Hungarian method."""
    vectors, codes = clouds(seed, species=7, each=30, dim=12, spread=0.25)
    first = set(np.random.default_rng(seed).permutation(7)[:3].tolist())
    f1 = np.zeros(7)
    for half in (first, set(range(7)) - first):
        chosen = np.isin(codes, list(half))
        bins = kmedoid(vectors, class_center_percentiles(vectors[chosen], codes[chosen], [70])[0])
        shared = np.zeros((7, max(bins.max() + 1, 1)), dtype=int)
        np.add.at(shared, (codes[bins >= 0], bins[bins >= 0]), 1)
        for code, number in zip(*linear_sum_assignment(shared, maximize=True), strict=True):
            if code not in half:
                f1[code] = 2 * shared[code, number] / ((codes == code).sum() + (bins == number).sum())
    counted, binned_only = recovered_species(vectors, codes, seed=seed)
    assert counted == {level: int((f1 > level).sum()) for level in F1_LEVELS}
    assert 0 < sum(counted.values()) < 35, "the set is too easy or too hard to tell definitions apart"
    assert all(binned_only[level] >= counted[level] for level in F1_LEVELS)


def test_pooling_averages_neighbours():
    vectors = np.random.default_rng(1).standard_normal((5, 10)).astype(np.float32)
    slow = np.array([[row[0:3].mean(), row[3:6].mean(), row[6:8].mean(), row[8:10].mean()] for row in vectors])
    slow /= np.linalg.norm(slow, axis=1, keepdims=True)
    np.testing.assert_allclose(pool_dimensions(vectors, 4), slow, atol=1e-6)  # float32
    assert pool_dimensions(vectors, 10) is vectors


@pytest.mark.parametrize(("dim", "expected"), [(103, [8, 16, 32, 64, 103]), (32, [8, 16, 32]), (8, [8]), (3, [3])])
def test_dimensions_double_up_to_the_full_number(dim, expected):
    assert pooled_dims(dim) == expected


def test_lengths_are_scored_one_by_one():
    vectors, codes = clouds(6, species=4, each=20, spread=0.02)
    noise = unit_rows(np.random.default_rng(1).standard_normal(vectors.shape))
    table = evaluate_lengths({64: noise, 512: vectors}, codes.astype(str), seeds=(1, 2))
    assert (table_value(table, "ari_length", 512) == 1).all()
    assert (table_value(table, "ari_length", 64) < 0.2).all()


@pytest.mark.parametrize(
    ("vectors", "labels", "message"),
    [
        (np.ones((3, 4)), ["a", "b"], "expected .n, d. and n"),
        (np.ones((2, 4)), ["a", "a"], "found 1 species among 2 labels"),
        (np.full((2, 4), np.nan), ["a", "b"], "found NaN"),
    ],
)
def test_what_cannot_be_scored_is_refused(vectors, labels, message):
    with pytest.raises(InputError, match=message):
        evaluate_embedding(vectors, labels)


def ari_scores(tnf, adapted, best):
    import pandas as pd

    given = (("tnf", "plain", tnf), ("tnf", "adapted", adapted), ("best", "plain", best))
    rows = [
        ("s", name, variant, "ari", np.nan, seed, value)
        for name, variant, values in given
        for seed, value in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows, columns=["set", "embedder", "variant", "measure", "level", "seed", "value"])


def test_the_gap_is_that_of_the_mean_aris():
    # Ratios by seed would have the mean -0.83 here, although the embedder is better than TNF on the whole.
    scores = ari_scores(tnf=(0.5, 0.9), adapted=(0.75, 0.7), best=(0.9, 0.65))
    summary = summarise_scores(scores).set_index(["embedder", "variant", "measure"])
    gap = summary.xs("gap_closed", level="measure")
    assert gap.loc[("best", "plain"), "mean"] == pytest.approx((0.775 - 0.7) / 0.3)
    assert gap.loc[("best", "plain"), "sd"] == pytest.approx(np.std([0.9, 0.65], ddof=1) / 0.3)
    assert gap.loc[("tnf", "adapted"), "mean"] == pytest.approx((0.725 - 0.7) / 0.3)
    assert gap.loc[("tnf", "plain"), "mean"] == 0
    assert gap["seeds"].tolist() == [2, 2, 2]
    assert summary.loc[("best", "plain", "ari"), "sd"] == pytest.approx(np.std([0.9, 0.65], ddof=1))
    assert gap_closed(0.706, 0.559) == pytest.approx(0.333, abs=5e-4)
    assert "gap_closed" not in set(summarise_scores(scores[scores["embedder"] == "best"])["measure"])


def test_no_gap_where_tnf_is_perfect():
    summary = summarise_scores(ari_scores(tnf=(1.0, 1.0), adapted=(1.0, 1.0), best=(1.0, 0.8)))
    gap = summary[summary["measure"] == "gap_closed"]
    assert len(gap) == 3 and gap[["mean", "sd"]].isna().all(axis=None) and (gap["seeds"] == 0).all()
    some = summarise_scores(ari_scores(tnf=(1.0, 0.9), adapted=(1.0, 1.0), best=(1.0, 0.8)))
    assert np.isfinite(some.loc[some["measure"] == "gap_closed", "mean"]).all()


def test_kmeans_knows_the_number_of_species():
    vectors, codes = clouds(7, species=9, each=15, spread=0.05)
    assert kmeans_ari(vectors, codes, seed=1) > 0.95
    assert kmeans_ari(vectors, codes // 3, seed=1) < 0.9  # three random species as one are no cluster

"""What the queries are made of, and how many false discoveries that lets expect."""

import numpy as np
import pytest

from workflow_lib.novelty.calls import decide, mixture_p
from workflow_lib.novelty.conformal import Calibration, benjamini_hochberg
from workflow_lib.novelty.counted_classes import (
    _largest_share,
    bound_shares,
    class_likelihoods,
    count_independent,
    estimate_shares,
)
from workflow_lib.novelty.design import KNOWN, OUTSIDE, TESTS
from workflow_lib.novelty.tested import RankTests, Settings

CENTRES = (0.0, 2.0, 4.0, 6.0)  # known, new species, new genus, new phylum
RANKS = ("species", "genus", "phylum")


def calibrations(rng, n=100):
    drawn = [Calibration(centre + rng.standard_normal(n), np.arange(n)) for centre in CENTRES]
    return dict(zip((*RANKS, OUTSIDE), drawn, strict=True))


def draw(rng, counts):
    """Scores, and class of each."""
    kinds = np.repeat(np.arange(4), counts)
    return np.array(CENTRES)[kinds] + rng.standard_normal(len(kinds)), kinds


def call(rng, counts, fdr="adaptive", **kinds):
    found, empty = calibrations(rng, **kinds), Calibration(np.zeros(0), np.zeros(0, dtype=np.int64))
    scores, kind = draw(rng, counts)
    tested = RankTests(len(scores), [{}], Settings(0.1, 1, 10, fdr))
    none = np.zeros(len(scores), dtype=np.int64)
    tested.add(np.arange(len(scores)), lambda test, _: found.get(test, empty), scores, none, none.astype(bool))
    return tested.decide(), kind


@pytest.mark.parametrize("counts", [(100, 100, 100, 100), (300, 60, 30, 10), (0, 0, 400, 0)])
def test_shares_are_found(counts):
    rng = np.random.default_rng(1)
    found = [class_likelihoods([*calibrations(rng).values()], draw(rng, counts)[0]) for _ in range(20)]
    shares = np.array([estimate_shares(one[:, 1:]) for one in found])
    bounds, totals = (np.array([bound_shares(one, np.full(4, 100))[i] for one in found]) for i in range(2))
    truth = np.array(counts) / sum(counts)
    assert shares.sum(axis=1) == pytest.approx(1)
    assert np.abs(shares.mean(axis=0) - truth).max() < 0.08  # an even unit in eight cells draws shares together
    assert (bounds >= truth).mean() > 0.75
    assert (totals >= np.cumsum(truth) - 1e-9).mean() > 0.75
    assert (totals <= np.cumsum(bounds, axis=1) + 1e-9).all()


def test_bounds_of_few_queries_and_few_units_are_wide():
    likelihoods = np.tile([1, 0.9, 0.1], (4, 1))
    assert bound_shares(likelihoods, np.array([100, 100]))[0][0] == 1
    many = np.concatenate([np.tile([1, 0.9, 0.1], (500, 1)), np.tile([0, 0.1, 0.9], (500, 1))])
    widths = [bound_shares(many, np.array(units))[0][0] - 0.5 for units in ((1000, 1000), (1000, 20), (20, 1000))]
    # A query is in the first cell with a probability of 0.1 + 0.8 times the share.
    assert widths[0] == pytest.approx(2 * np.sqrt(0.25 * (1 / 1000 + 1 / 1000)) / 0.8, abs=0.011)
    assert widths[0] < 0.1 < 0.2 < widths[1] == widths[2]
    nothing = bound_shares(np.full((3, 3), np.nan), np.array([9, 9]))
    assert [one.tolist() for one in nothing] == [[1, 1]] * 2


def test_infinite_scores_lie_in_the_farthest_cell():
    scores = np.arange(40.0)
    half = Calibration(np.where(scores % 2, scores, np.inf), np.arange(40))
    likelihoods = class_likelihoods([half], np.array([0.5, 39.0]))
    assert np.isfinite(likelihoods).all()
    assert likelihoods[1, 1] > 0.5  # what is far may be of the class whose other half is farther still
    nothing = Calibration(np.full(40, np.inf), np.arange(40))
    assert class_likelihoods([nothing], np.array([0.5])) == pytest.approx(1)


def test_contigs_of_one_genome_count_as_one_query():
    groups = np.append(np.zeros(100, dtype=np.int64), np.arange(1, 21))
    assert count_independent(groups) == pytest.approx(120**2 / (100**2 + 20))
    assert count_independent(np.arange(7)) == 7
    assert count_independent(np.zeros(0, dtype=np.int64)) == 0
    units, one, two = np.array([100, 100]), np.tile([0.0, 0.1, 0.9], (120, 1)), np.tile([0.0, 0.9, 0.1], (120, 1))
    assert bound_shares(one, units)[0][0] < 0.1
    assert bound_shares(one, units, np.arange(120))[0].tolist() == bound_shares(one, units)[0].tolist()
    assert bound_shares(one, units, groups)[0][0] == 1
    assert 0.2 < bound_shares(one, units, np.arange(120) // 20)[0][0] < 1  # six genomes
    assert bound_shares(one, units, np.zeros(120, dtype=np.int64))[0][0] == 1
    # As many queries as there are genomes say the same.
    both = np.concatenate([one, two])
    assert bound_shares(both, units, np.repeat(np.arange(40), 6))[0] == pytest.approx(
        bound_shares(np.concatenate([one[:20], two[:20]]), units)[0]
    )
    # Contigs without likelihoods do not count.
    untested = np.where(np.arange(240)[:, None] < 120, both, np.nan)
    their_groups = np.append(np.arange(120), np.zeros(120, dtype=np.int64))
    assert bound_shares(untested, units, their_groups)[0].tolist() == bound_shares(one, units)[0].tolist()
    # 1,000 copies of one genome say nothing of copies.
    copies, single = cells((900, 100)), np.zeros(1000, dtype=np.int64)
    assert bound_shares(copies, units, np.arange(1000) // 100)[0][1] < bound_shares(copies, units, single)[0][1] == 1


def cells(counts):
    """Likelihoods of copies and two classes, of queries in two cells: the lowest, which the first class prefers, and
    another."""
    return np.repeat([[1, 0.6, 0.1], [0, 0.4, 0.9]], counts, axis=0)


def test_copies_are_counted_with_the_first_class_where_they_are_clear():
    units = np.array([1000, 1000])
    # 90% in the lowest cell: more than the first class alone can have.
    likelihoods = cells((900, 100))
    bounds, totals = bound_shares(likelihoods, units)
    assert estimate_shares(likelihoods[:, 1:]) == pytest.approx([1, 0], abs=1e-3)
    assert bounds[0] == totals[0] == 1
    copies = estimate_shares(likelihoods)
    # Without any of the first class, 1 - 0.9 s of the queries are in the lowest cell: of 0.9 it is a ninth.
    assert copies[2] < 1 / 9
    assert bounds[1] == pytest.approx(1 / 9 + 2 * np.sqrt(0.9 * 0.1 * 2 / 1000) / 0.9, abs=0.015)
    alone = bound_shares(np.column_stack([np.zeros(1000), likelihoods[:, 1:]]), units)
    assert alone[0][1] < 0.05  # as it would be without copies
    # They are clear in 20 queries, whose likelihood copies make larger by a factor of e^4.53, not in 19 (e^4.12).
    for counts, are_clear in (((18, 2), True), ((17, 2), False)):
        few = bound_shares(cells(counts), units)[0][1]
        alone = bound_shares(np.column_stack([np.zeros(sum(counts)), cells(counts)[:, 1:]]), units)[0][1]
        assert (few > alone) if are_clear else (few == alone)


def test_copies_are_of_the_first_class():
    likelihoods, frequencies = np.array([[1, 0.6, 0.1], [0, 0.4, 0.9]]), np.array([0.9, 0.1])
    first, second = np.eye(2, dtype=bool)
    # Of the first class without its copies it could be a fourth, as 0.4 of them are in the other cell, with them all.
    assert _largest_share(likelihoods, frequencies, first, 1e4) == 1
    assert _largest_share(likelihoods, frequencies, second, 1e4) < 0.15


def test_a_sum_of_shares_is_known_better_than_its_parts():
    """Two classes that score alike cannot be told apart, but their sum can from a third."""
    likelihoods = np.repeat([[0.5, 0.45, 0.05], [0.45, 0.5, 0.05], [0.05, 0.05, 0.9]], [250, 250, 500], axis=0)
    shares = estimate_shares(likelihoods)
    bounds, totals = bound_shares(np.insert(likelihoods, 0, 0, axis=1), np.array([100, 100, 100]))
    error = np.sqrt(shares[2] * (1 - shares[2]) * (1 / 1000 + 1 / 100))
    assert bounds[0] == totals[0]
    assert totals[1] == pytest.approx(1 - shares[2] + 2 * error / 0.85, abs=0.02)
    assert totals[1] < bounds[:2].sum() - 0.1
    assert totals[2] == 1


def test_a_share_that_is_likeliest_0_may_be_large_where_classes_score_alike():
    """The likeliest share of the second of three overlapping classes is often 0, whatever it is."""
    rng = np.random.default_rng(1)
    calibrated = [Calibration(centre + rng.standard_normal(150), np.arange(150)) for centre in (0.0, 0.7, 1.4)]
    truth = np.array([0.3, 0.4, 0.3])
    below = {"bounds": 0, "likeliest": 0}
    for _ in range(40):
        scores = np.repeat([0.0, 0.7, 1.4], (30, 40, 30)) + rng.standard_normal(100)
        likelihoods = class_likelihoods(calibrated, scores)
        bounds, totals = bound_shares(likelihoods, np.full(3, 150))
        below["bounds"] += (bounds < truth).any() or (totals < np.cumsum(truth) - 1e-9).any()
        below["likeliest"] += estimate_shares(likelihoods[:, 1:])[1] < 0.1
    assert below["bounds"] <= 4  # two standard errors of six bounds
    assert below["likeliest"] > 5


def test_one_class_is_benjamini_hochberg():
    p = np.array([[0.01], [0.2], [np.nan]])
    assert mixture_p(p, np.zeros((3, 1), dtype=bool), np.ones(1), np.ones(1)) == pytest.approx(p, nan_ok=True)


def test_false_discoveries_of_lower_classes_are_added():
    p = np.array([[0.001, 0.1, 0.5], [np.nan, 0.1, np.nan], [0.2, 0.3, 0.9]])
    bounds = np.array([0.5, 0.25, 0.25])
    found = mixture_p(p, np.zeros((3, 3), dtype=bool), bounds, np.cumsum(bounds))
    expected = [[0.0005, 0.0255, 0.1505], [np.nan, 0.075, np.nan], [0.1, 0.175, 0.4]]
    assert found == pytest.approx(np.array(expected), nan_ok=True)


def test_no_more_of_the_lower_classes_than_their_sum_allows():
    is_least = np.zeros((1, 3), dtype=bool)
    found = mixture_p(np.array([[0.01, 0.1, 0.5]]), is_least, np.array([0.5, 0.5, 0.5]), np.array([0.5, 0.6, 0.8]))
    assert found == pytest.approx(np.array([[0.005, 0.05 + 0.001, 0.25 + 0.03]]))


def test_a_class_of_few_units_has_the_p_of_the_next_where_it_cannot_be_as_small():
    is_least = np.array([[True, False, False]])
    found = mixture_p(np.array([[0.025, 0.01, 0.02]]), is_least, np.array([0.4, 0.4, 0.2]), np.array([0.4, 0.8, 1.0]))
    assert found == pytest.approx(np.array([[0.4 * 0.01, 0.8 * 0.01, 0.8 * 0.01 + 0.2 * 0.02]]))


def test_a_class_keeps_its_own_p_where_its_calibration_could_give_less():
    """In a wide phylum p of genus comes from that phylum and may be larger than the pooled p of phylum."""
    is_least = np.zeros((1, 3), dtype=bool)
    found = mixture_p(np.array([[0.01, 0.3, 0.02]]), is_least, np.array([0.5, 0.4, 0.4]), np.array([0.5, 0.7, 0.8]))
    assert found == pytest.approx(np.array([[0.005, 0.4 * 0.3 + 0.3 * 0.01, 0.4 * 0.3 + 0.4 * 0.02]]))


@pytest.mark.parametrize(
    "counts", [(60, 60, 60, 60), (200, 20, 15, 5), (0, 60, 60, 0), (120, 0, 0, 0), (0, 200, 0, 0), (4, 3, 2, 1)]
)
def test_the_rate_holds_whatever_the_queries_are_made_of(counts):
    rng = np.random.default_rng(3)
    rates = {rank: [] for rank in RANKS}
    for _ in range(40):
        calls, kind = call(rng, counts)
        for position, rank in enumerate(RANKS):
            found = calls.q[:, TESTS.index(rank)] <= 0.1
            rates[rank].append((found & (kind <= position)).sum() / max(found.sum(), 1))
    for values in rates.values():
        assert np.mean(values) <= 0.1 + 2 * np.std(values, ddof=1) / np.sqrt(len(values))


@pytest.mark.parametrize("counts", [(1, 0), (0, 1), (60, 60), (100, 20), (100, 3)])
def test_the_rate_of_known_holds_where_copies_of_indexed_genomes_are_queries(counts):
    """They score lower than any genome left out does, so that nearly all queries may be taken for known."""
    rates, found = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        nulls = {"species": 2.5 * rng.standard_normal(39), "genus": 2 + rng.standard_normal(149)}
        units = {test: Calibration(scores, np.arange(len(scores))) for test, scores in nulls.items()}
        units |= {OUTSIDE: Calibration(5 + rng.standard_normal(16), np.arange(16)), KNOWN: units["genus"]}
        none = Calibration(np.zeros(0), np.zeros(0, dtype=np.int64))
        scores = np.concatenate([np.full(counts[0], -4.0), 2 + rng.standard_normal(counts[1])])
        tested = RankTests(len(scores), [{}], Settings(0.1, 1, 10))
        rows = np.zeros(len(scores), dtype=np.int64)
        tested.add(np.arange(len(scores)), lambda test, _: units.get(test, none), scores, rows, rows.astype(bool))  # noqa: B023
        is_known = np.array(tested.decide().call) == "known"
        rates.append(is_known[counts[0] :].sum() / max(is_known.sum(), 1))
        found.append(is_known[: counts[0]].mean() if counts[0] else 1)
    assert np.mean(rates) <= 0.1 + 2 * np.std(rates, ddof=1) / np.sqrt(len(rates))
    assert np.mean(found) > 0.9


def test_new_species_are_no_new_genera_where_most_queries_are_copies():
    """Copies are nearer than any genome left out; the farther half of those must not stand for the new species."""
    wrong = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        nulls = zip((*RANKS, OUTSIDE), (0, 2, 3.5, 5), (1000, 500, 250, 30), strict=True)
        units = {test: Calibration(mean + rng.standard_normal(n), np.arange(n)) for test, mean, n in nulls}
        none = Calibration(np.zeros(0), np.zeros(0, dtype=np.int64))
        scores = np.concatenate([np.full(100, -4.0), 2 + rng.standard_normal(20)])
        tested = RankTests(len(scores), [{}], Settings(0.1, 1, 10))
        rows = np.zeros(len(scores), dtype=np.int64)
        tested.add(np.arange(len(scores)), lambda test, _: units.get(test, none), scores, rows, rows.astype(bool))  # noqa: B023
        wrong.append((tested.decide().q[:, TESTS.index("genus")] <= 0.1).any())
    assert np.mean(wrong) <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 40)


def test_more_is_found_than_if_every_query_were_at_the_edge():
    power = {}
    for fdr in ("adaptive", "benjamini_hochberg"):
        rng = np.random.default_rng(5)
        outcomes = [call(rng, (60, 60, 30, 10), fdr) for _ in range(10)]
        power[fdr] = np.mean([(calls.q[kind >= 2, TESTS.index("genus")] <= 0.1).mean() for calls, kind in outcomes])
    assert power["adaptive"] > power["benjamini_hochberg"] + 0.05


def test_without_classes_q_is_benjamini_hochberg_of_p():
    rng = np.random.default_rng(2)
    calls, _ = call(rng, (20, 20, 20, 20), "benjamini_hochberg")
    column = TESTS.index("genus")
    assert calls.q[:, column] == pytest.approx(benjamini_hochberg(calls.p[:, column]))
    adaptive, _ = call(np.random.default_rng(2), (20, 20, 20, 20))
    assert np.array_equal(calls.p, adaptive.p, equal_nan=True)
    assert (adaptive.q[:, column] <= np.where(calls.p[:, column] > 0.5, 1, calls.q[:, column] + 1e-12)).all()


def test_what_is_nearer_than_half_of_the_known_is_not_called_where_nearly_all_are_novel():
    """The rate alone would allow to call everything: of 200 queries 10 are known."""
    wrong, found = [], []
    for seed in range(10):
        calls, kind = call(np.random.default_rng(seed), (10, 190, 0, 0))
        q, p = (table[:, TESTS.index("species")] for table in (calls.q, calls.p))
        is_novel = np.array([one.startswith("novel") for one in calls.call])
        assert np.array_equal(is_novel, q <= 0.1)
        assert not is_novel[p > 0.5].any()
        wrong.append(is_novel[kind == 0].mean())
        found.append(is_novel[kind == 1].mean())
    assert 0.3 < np.mean(wrong) < 0.6  # of the nearer half none, of the others all
    assert np.mean(found) > 0.95


def test_queries_without_any_test_are_abstained_from():
    p = np.full((2, len(TESTS)), np.nan)
    classes = np.full((2, 8), np.nan), np.zeros((2, 7), dtype=np.int64)
    assert decide(p, np.zeros(p.shape, dtype=np.int64), alpha=0.1, classes=classes).call == ["abstain"] * 2


def test_a_domain_with_units_enough_is_a_stratum_of_its_own():
    rng = np.random.default_rng(4)
    scores = np.concatenate([rng.standard_normal(150), 3 + rng.standard_normal(50)])
    near = np.repeat([0, 1], [150, 50])

    def calibrate(test, own):
        units = np.arange(200) if test == "genus" else np.full(200, -1)
        return Calibration(scores, units if own is None else np.where(own[near], units, -1))

    tested = RankTests(2, [{"domain": "Bacteria"}, {"domain": "Archaea"}], Settings(0.1, 1, 20))
    tested.add(np.arange(2), calibrate, np.array([2.5, 2.5]), np.array([0, 1]), np.zeros(2, dtype=bool))
    assert tested.name_strata(["1-2", "1-2"]) == ["1-2|Bacteria:genus", "1-2"]
    column = TESTS.index("genus")
    assert tested.p[0, column] < 0.05 < tested.p[1, column]
    assert tested.decide().n_cal.tolist() == [150, 200]


def test_a_phylum_with_units_enough_goes_before_its_domain():
    """Genera are narrower in the phylum of the first 40 units, so that a score of 2.5 is novel there alone."""
    rng = np.random.default_rng(6)
    scores = np.concatenate([rng.standard_normal(40), 3 + rng.standard_normal(140), rng.standard_normal(20)])
    near = np.repeat([0, 1, 2], [40, 140, 20])
    lineages = [{"domain": "Bacteria", "phylum": name} for name in ("Narrow", "Wide", "Small")]

    def calibrate(test, own):
        units = np.arange(200) if test in ("genus", "phylum") else np.full(200, -1)
        units = np.where(near > 0, units, -1) if test == "phylum" else units
        return Calibration(scores, units if own is None else np.where(own[near], units, -1))

    tested = RankTests(4, [*lineages, {}], Settings(0.1, 1, 20))
    tested.add(np.arange(4), calibrate, np.full(4, 2.5), np.arange(4), np.zeros(4, dtype=bool))
    assert tested.name_strata(["1-2"] * 4) == [
        "1-2|Narrow:genus|Bacteria:phylum",
        "1-2|Wide:genus,phylum",
        "1-2|Bacteria:genus,phylum",
        "1-2",
    ]
    column = TESTS.index("genus")
    assert tested.p[0, column] < 0.05 < 0.4 < tested.p[2, column] == tested.p[3, column] < tested.p[1, column]
    assert tested.decide().n_cal.tolist() == [40, 140, 200, 200]

"""The calibration against a plain recomputation, and its file."""

import json
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from workflow_lib.errors import InputError
from workflow_lib.index import build_index, load_index
from workflow_lib.index.genome_search import FURTHER_GENOMES
from workflow_lib.manifest import SEAL, write_manifest
from workflow_lib.novelty.calibrate import calibrate
from workflow_lib.novelty.calibration_set import read_calibration, write_calibration
from workflow_lib.novelty.design import CALIBRATED, KNOWN, REFERENCE, TESTS, limit_genomes, make_design
from workflow_lib.novelty.honesty import _distance_rows
from workflow_lib.novelty.queries import _group_contigs, call_bins, call_contigs
from workflow_lib.novelty.strata import compose_bin, find_class
from workflow_lib.novelty.tested import Settings
from workflow_lib.store import EmbeddingStore

LINEAGES = [(p, g, s, t) for p in range(3) for g in range(2) for s in range(2) for t in range(2)]


@pytest.fixture(scope="module", params=[1, 2])
def built(request, build, make_world):
    world = make_world(7)
    return world, *build(world, LINEAGES, k=request.param)


def pieces_of(world, lineages, n):
    return np.concatenate([world.draw(lineage, n) for lineage in lineages])


def expected_score(distances, spread, excluded, k):
    nearest = np.argsort(np.where(excluded, np.inf, distances))[:k]
    return distances[nearest].mean() ** 0.75 * (distances[nearest] / spread[nearest]).mean() ** 0.25


def test_scores_leave_out_what_the_test_leaves_out(built):
    """A piece that is a window of its own genome would have the distance zero, were the genome not left out."""
    _, index, calibration, _ = built
    design, k = make_design(index.table.lineages, calibration.means), int(calibration.k)
    rows = [np.flatnonzero(index.table.codes == g)[0] for g in range(len(LINEAGES))]
    names = [f"{index.table.genomes[g]}|c|0|3000" for g in range(len(LINEAGES))]
    manifest, spread = index.manifest | {"strata": [2500, 5000]}, calibration.spread
    own = calibrate(
        index, calibration.means, spread, EmbeddingStore(index.vectors[rows], names, manifest), k=k, n_pieces=1
    )
    exact = np.linalg.norm(index.vectors[rows][:, None] - index.vectors[None], axis=2)
    nearest = np.array(
        [[exact[i][index.table.codes == g].min() for g in range(len(LINEAGES))] for i in range(len(rows))]
    )
    for row, test in zip(own.piece_scores, CALIBRATED, strict=True):
        for g in range(len(LINEAGES)):
            if own.units[CALIBRATED.index(test), g] >= 0:
                expected = expected_score(nearest[g], spread, design.excluded(test, g), k)
                assert row[g] == pytest.approx(expected, rel=1e-3)  # float32 products, see SearchIndex
            else:
                assert np.isnan(row[g])


@pytest.mark.parametrize("contamination", [0.0, 0.3])
def test_a_simulated_bin_scores_as_a_real_bin_of_the_same_vectors(built, contamination):
    """The stored products must give what the mean of the pieces, and of foreign ones, gives directly."""
    world, index, calibration, _ = built
    vectors = pieces_of(world, LINEAGES, 4)
    names = [
        f"{index.table.genomes[g]}|c{i}|0|{3000 if i < 2 else 6000}" for g in range(len(LINEAGES)) for i in range(4)
    ]
    store = EmbeddingStore(vectors, names, index.manifest | {"strata": [2500, 5000, 10_000]})
    own = calibrate(
        *(index, calibration.means, calibration.spread, store),
        k=int(calibration.k),
        n_pieces=2,
        contamination=contamination,
    )
    assert own.contamination.max() == contamination
    assert sorted(own.foreign) == list(range(len(LINEAGES)))
    lengths, strata = np.array([3000, 3000, 6000, 6000]), np.array([0, 0, 1, 1])
    composition = compose_bin(list("abcd"), lengths, strata, tuple(own.levels.tolist()))
    design = make_design(index.table.lineages, calibration.means)
    means = vectors.reshape(len(LINEAGES), 2, 2, -1).mean(axis=2)
    for test in ("reference", "species", "genus", KNOWN):
        scores, nearest = own.bin_scores(test, composition)
        for g in range(len(LINEAGES)):
            share, foreign = own.contamination[g], own.foreign[g]
            assert LINEAGES[foreign][:2] != LINEAGES[g][:2]
            mixed = (1 - share) * means[g] + share * means[foreign]
            direction = mixed[0] / 3 + mixed[1] * 2 / 3
            assert own.bin_evenness(composition)[g] == pytest.approx(direction @ direction, rel=1e-4)
            direction /= np.linalg.norm(direction)
            distances = np.linalg.norm(direction - calibration.means, axis=1)
            excluded = design.excluded(test, g)
            expected = expected_score(distances, calibration.spread, excluded, int(own.k))
            assert scores[g] == pytest.approx(expected, rel=1e-3)
            assert nearest[g] == np.where(excluded, np.inf, distances).argmin()


def test_genomes_that_calibrate_score_as_if_all_did(build, make_world):
    """A limit leaves genomes out of the calibration, none out of the index."""
    index, whole, _ = build(make_world(7), LINEAGES)
    _, limited, _ = build(make_world(7), LINEAGES, n_genomes=9)
    names = index.table.genomes
    numbers = np.flatnonzero(
        (limit_genomes(make_design(index.table.lineages, whole.means), names, 9).units >= 0).any(0)
    )
    assert 9 <= len(numbers) < len(names)
    assert limited.units.shape == (len(CALIBRATED), len(numbers))
    assert ((limited.units >= 0).sum(axis=1) <= 9).all()
    pieces = np.flatnonzero(np.isin(whole.piece_genome, numbers))
    assert np.array_equal(numbers[limited.piece_genome], whole.piece_genome[pieces])
    composition = compose_bin(list("abcd"), np.array([3000, 3000, 7000, 7000]), np.array([0, 0, 1, 1]), (1, 2, 4))
    for row, test in enumerate(CALIBRATED):
        tested = limited.units[row] >= 0
        assert np.array_equal(limited.units[row][tested], whole.units[row][numbers][tested])
        own = tested[limited.piece_genome]
        # The same but for rounding: other pieces are searched together.
        np.testing.assert_allclose(limited.piece_scores[row][own], whole.piece_scores[row][pieces][own], atol=1e-4)
        assert np.isnan(limited.piece_scores[row][~own]).all()
        scores, nearest = limited.bin_scores(test, composition)
        of_whole = whole.bin_scores(test, composition)
        np.testing.assert_array_equal(scores[tested], of_whole[0][numbers][tested])
        assert np.array_equal(nearest[tested], of_whole[1][numbers][tested])


def test_same_input_same_bytes_and_identity(built, tmp_path):
    _, _, calibration, folder = built
    write_calibration(tmp_path / "again.npz", calibration)
    assert (tmp_path / "again.npz").read_bytes() == (folder / "calibration.npz").read_bytes()
    assert replace(calibration, k=calibration.k + 1).calibration_id != calibration.calibration_id


@pytest.mark.parametrize("factory", ["Flat", "IVF4,Flat"])
def test_the_calibration_is_the_same_at_any_number_of_threads(build, make_world, factory):
    """The search runs on all of them, three blocks of pieces of these 48 genomes."""
    lineages = [(p, g, s, 0) for p in range(4) for g in range(3) for s in range(4)]
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            _, calibration, _ = build(make_world(11), lineages, pieces=8, factory=factory)
        found.append(calibration.calibration_id)
    assert found[0] == found[1]


def test_a_calibration_of_another_index_is_refused(built, build, make_world):
    index, _, folder = build(make_world(1), LINEAGES[:8])
    calibration = folder / "calibration.npz"
    calibration.write_bytes((built[3] / "calibration.npz").read_bytes())
    with pytest.raises(InputError, match=r"calibration.npz: SHA-256"):
        load_index(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest[SEAL]
    write_manifest(folder, manifest, checksums=list(manifest["checksums"]), sealed=True)
    with pytest.raises(InputError, match="not the one of the manifest"):
        read_calibration(folder, load_index(folder))
    with np.load(calibration) as arrays:
        np.savez(calibration, **{name: arrays[name] for name in arrays if name != "version"})
    write_manifest(folder, manifest, checksums=list(manifest["checksums"]), sealed=True)
    with pytest.raises(InputError, match="a calibration of version 1, expected 4"):
        read_calibration(folder, load_index(folder))
    index.save(folder)
    with pytest.raises(InputError, match="the index has no calibration"):
        read_calibration(folder, load_index(folder))


def test_contigs_of_all_lengths_and_zero_vectors(built):
    world, index, calibration, _ = built
    lengths = np.array([100, 2500, 7000, 50_000, 7000])
    vectors = pieces_of(world, LINEAGES[:1], 5)
    vectors[4] = 0
    results = call_contigs(
        index, calibration, vectors, list("abcde"), lengths, Settings(alpha=0.3, min_length=2500, min_calibration=10)
    )
    assert results.reasons == ["too_short", "", "", "", "no_vector"]
    assert [call == "abstain" for call in results.calls.call] == [True, False, False, False, True]
    assert results.strata == ["", "2500-2725", "5000-9999", "7071-9999", ""]
    assert results.flags[3] == {"longer_than_calibrated"}
    assert np.isnan(results.calls.p[3, TESTS.index(KNOWN)])
    assert np.isfinite(results.calls.p[2, TESTS.index(KNOWN)])
    assert results.n_windows.tolist() == [1, 1, 1, 1, 0]
    assert results.neighbours.genome[4] == -1
    assert index.table.genomes[results.neighbours.genome[0]].startswith("g0.0.0")


@pytest.mark.parametrize(("alpha", "min_calibration"), [(0.1, 1000), (1e-4, 2)])
def test_too_few_calibration_genomes_abstain(built, alpha, min_calibration):
    """Too few for the setting, or too few to ever reach the level."""
    world, index, calibration, _ = built
    settings = Settings(alpha=alpha, min_length=2500, min_calibration=min_calibration)
    vectors, lengths = pieces_of(world, [(99, 0, 0, 0)], 2), np.array([6000, 6000])
    contigs = call_contigs(index, calibration, vectors, ["a", "b"], lengths, settings)
    bins = call_bins(index, calibration, {"bin.1": np.array([0, 1])}, vectors, ["a", "b"], lengths, settings)
    for results in (contigs, bins):
        assert set(results.reasons) == {"too_few_calibration_genomes"}
        assert set(results.calls.call) == {"abstain"}


def test_without_taxonomy_only_the_reference_test_is_made(build, make_world):
    world = make_world(3)
    index, calibration, _ = build(world, LINEAGES, taxonomy=False)
    settings = Settings(alpha=0.1, min_length=2500, min_calibration=20)
    vectors = pieces_of(world, [(90 + i, 0, 0, 0) for i in range(5)] + [(0, 0, 0, 5)], 1)
    results = call_contigs(index, calibration, vectors, list("abcdef"), np.full(6, 6000), settings)
    assert results.calls.call == ["novel"] * 5 + ["ambiguous"]
    assert set(results.calls.call_rank) == {"reference"}


def test_bins_without_usable_contigs(built):
    world, index, calibration, _ = built
    vectors = pieces_of(world, LINEAGES[:1], 3)
    vectors[2] = 0
    bins = {"bin.1": np.array([0]), "bin.2": np.array([2]), "bin.3": np.array([0, 1, 2])}
    settings = Settings(alpha=0.3, min_length=2500, min_calibration=10)
    results = call_bins(index, calibration, bins, vectors, list("abc"), np.array([500, 6000, 6000]), settings)
    assert results.reasons == ["too_short", "no_vector", ""]
    assert results.n_windows.tolist() == [0, 0, 1]
    assert results.lengths.tolist() == [500, 6000, 12_500]


@pytest.mark.parametrize("nprobe", [2, 8])
def test_scores_through_an_approximate_index(built, nprobe):
    """The same pieces are tested; with all its lists it scores as the exact one."""
    world, exact, calibration, _ = built
    lists = build_index(exact.vectors, exact.table, exact.manifest, factory="IVF8,Flat", parameters={"nprobe": nprobe})
    pieces = EmbeddingStore(
        pieces_of(world, LINEAGES, 1),
        [f"{genome}|c|0|3000" for genome in exact.table.genomes],
        exact.manifest | {"strata": [2500, 5000]},
    )
    k = int(calibration.k)
    found, wanted = (
        calibrate(index, calibration.means, calibration.spread, pieces, k=k, n_pieces=1) for index in (lists, exact)
    )
    tested = ~np.isnan(wanted.piece_scores)
    assert np.array_equal(~np.isnan(found.piece_scores), tested)
    if nprobe == 8:
        assert found.piece_scores[tested] == pytest.approx(wanted.piece_scores[tested], abs=1e-3)


def test_an_approximate_index_looks_for_as_many_genomes_as_a_score_means(build, make_world):
    """More genomes than are found besides the nearest, of more windows than the first search has."""
    world = make_world(5)
    lineages = [(p, g, s, t) for p in range(3) for g in range(3) for s in range(3) for t in range(2)]
    exact, calibration, _ = build(world, lineages, k=FURTHER_GENOMES + 5, windows=60, pieces=1)
    lists = build_index(exact.vectors, exact.table, exact.manifest, factory="IVF2,Flat", parameters={"nprobe": 2})
    queries = pieces_of(world, lineages, 1)
    pieces = EmbeddingStore(
        queries, [f"{genome}|c|0|3000" for genome in exact.table.genomes], exact.manifest | {"strata": [2500, 5000]}
    )
    given = (calibration.means, calibration.spread, pieces)
    found, wanted = (calibrate(index, *given, k=int(calibration.k), n_pieces=1) for index in (lists, exact))
    tested = np.isfinite(wanted.piece_scores)
    assert tested.any()
    assert found.piece_scores[tested] == pytest.approx(wanted.piece_scores[tested], abs=1e-3)
    called = [
        call_contigs(
            *(index, calibration, queries, exact.table.genomes, np.full(len(queries), 6000)),
            Settings(alpha=0.1, min_length=2500, min_calibration=10),
        )
        for index in (lists, exact)
    ]
    assert called[0].neighbours.s1 == pytest.approx(called[1].neighbours.s1, abs=1e-3)


def test_pieces_that_find_no_genome_are_infinitely_far_and_told(built, caplog):
    """A list holds the windows of one taxon; once that is left out, one probe finds nothing."""
    world, exact, calibration, _ = built
    pieces = EmbeddingStore(
        pieces_of(world, LINEAGES, 1),
        [f"{genome}|c|0|3000" for genome in exact.table.genomes],
        exact.manifest | {"strata": [2500, 5000]},
    )
    found = {}
    for nprobe in (1, 8):
        index = build_index(
            exact.vectors, exact.table, exact.manifest, factory="IVF8,Flat", parameters={"nprobe": nprobe}
        )
        caplog.clear()
        found[nprobe] = calibrate(
            index, calibration.means, calibration.spread, pieces, k=int(calibration.k), n_pieces=1
        )
        assert ("raise index.nprobe" in caplog.text) == (nprobe == 1)
    row = CALIBRATED.index("phylum")
    lost = np.isinf(found[1].piece_scores[row])
    assert lost.mean() > 0.5
    assert np.isinf(found[1].piece_distances[row][lost]).sum() > 0
    few, all_lists = (found[nprobe].pieces(0, "phylum") for nprobe in (1, 8))
    assert few.n_units == all_lists.n_units
    scores = found[8].piece_scores[row]
    scores = scores[np.isfinite(scores)]
    assert (few.p_large(scores) >= all_lists.p_large(scores)).all()
    densities = [(high - low) * d for _, what, low, high, d in _distance_rows(found[1], 0) if what == "genus"]
    assert sum(densities) == pytest.approx(np.isfinite(found[1].piece_distances[row]).mean())
    design = make_design(exact.table.lineages, calibration.means)
    for piece in np.flatnonzero(np.isinf(found[1].piece_distances[row])):
        genome = int(found[1].calibrating[found[1].piece_genome[piece]])
        excluded = design.excluded("phylum", genome)
        similarity = np.where(excluded, -1, calibration.means @ pieces.vectors[piece])
        assert found[1].piece_nearest[row, piece] == similarity.argmax()


def test_contigs_of_a_bin_or_with_one_nearest_genome_are_a_group():
    bins = {"a": np.array([0, 5]), "b": np.array([1])}
    assert _group_contigs(np.array([0, 1, 1, 0, 1, 3, -1]), bins).tolist() == [0, 1, 4, 3, 4, 0, 2]


def test_contigs_are_held_against_pieces_of_their_class(built):
    world, index, calibration, _ = built
    low, high = (calibration.bounds[calibration.piece_stratum + i] for i in (0, 1))  # the world's have one length each
    share = np.random.default_rng(3).random(len(low))
    calibration = replace(calibration, piece_length=(low * (high / low) ** share).astype(int))
    lengths = np.repeat([5000, 9900], 20)
    found = call_contigs(
        *(index, calibration, pieces_of(world, LINEAGES[:20], 2), [str(i) for i in range(40)], lengths),
        Settings(alpha=0.3, min_length=2500, min_calibration=10),
    )
    scores = found.neighbours.score
    own = [calibration.pieces(1, REFERENCE, length_class=int(number)) for number in find_class(lengths, 2500)]
    expected = [pieces.p_large(scores[i : i + 1])[0] for i, pieces in enumerate(own)]
    assert found.calls.p[:, TESTS.index(REFERENCE)].tolist() == expected
    if calibration.k == 1:  # with two neighbours every p is 1 here
        assert expected != calibration.pieces(1, REFERENCE).p_large(scores).tolist()

"""Names of index kinds: sizes that follow from the windows, search parameters, and what is refused."""

import numpy as np
import pytest

from workflow_lib.errors import InputError
from workflow_lib.index import build_index, plan_index
from workflow_lib.index.approximate import train_faiss
from workflow_lib.index.factories import Plan, can_fill_in_parts, check_factory, index_file
from workflow_lib.index.windows import format_window, tabulate_windows


@pytest.fixture(scope="module")
def vectors_and_table():
    """50 unit rows of 24 columns, each of a genome of its own."""
    vectors = np.random.default_rng(1).standard_normal((50, 24)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, tabulate_windows([format_window(f"g{i}", "c", 0, 9) for i in range(50)], {})


@pytest.mark.parametrize(
    ("factory", "n", "dim", "expected"),
    [
        ("Flat", 10, 4, "Flat"),
        ("IVF*,Flat", 165_615, 1024, "IVF2048,Flat"),
        ("IVF*,Flat", 30, 8, "IVF1,Flat"),
        ("PCAWR64,IVF4096,Flat", 165_615, 1024, "PCAWR64,IVF4096,Flat"),
        ("PQ*x4fs,RFlat", 10_000, 256, "PQ64x4fs,RFlat"),
        ("PQ*x4fs", 10_000, 103, "PQ103x4fs"),
        ("OPQ*,IVF*,PQ*x4fsr", 100_000, 103, "OPQ25_100,IVF1024,PQ25x4fsr"),
        ("OPQ32,IVF4096,PQ16x4fsr", 165_615, 1024, "OPQ32_1024,IVF4096,PQ16x4fsr"),
        ("IMI2x10", 165_615, 64, "IMI2x10,Flat"),
        ("PCA64,IMI2x*,Flat", 165_615, 256, "PCA64,IMI2x10,Flat"),
        ("HNSW*", 1000, 64, "HNSW32"),
        ("auto", 1_000_000, 256, "Flat"),
        ("auto", 10_000_000, 256, "IVF16384,Flat"),
        ("auto", 100_000_000, 256, "IVF32768,SQ8"),
    ],
)
def test_sizes_follow_from_the_windows(factory, n, dim, expected):
    assert plan_index(factory, n, dim).factory == expected
    check_factory(expected)  # what a sweep recommends goes into a configuration


@pytest.mark.parametrize("n", [1, 39, 40, 1000, 10**6, 10**8])
def test_every_list_has_windows_to_train_it(n):
    plan = plan_index("IVF*,Flat", n, 64)
    n_lists = int(plan.factory.split(",")[0][3:])
    assert n_lists == 1 or n >= 39 * n_lists
    assert 1 <= plan.parameters["nprobe"] <= n_lists


def test_given_parameters_win_and_others_do_not_count():
    plan = plan_index("IVF64,Flat", 10_000, 8, {"nprobe": 5, "ef_search": 9, "k_factor": None})
    assert plan.parameters == {"nprobe": 5}


@pytest.mark.parametrize(
    ("factory", "true_distances"),
    [
        *(("IVF*,Flat", True), ("HNSW*", True), ("IMI2x*", True), ("PQ*x4fs,RFlat", True), ("RR64,RaBitQ,RFlat", True)),
        *(("PCA32,Flat", False), ("PCAW64,Flat", False), ("PQ*x4fs", False), ("SQ8", False), ("PCA32,HNSW*", False)),
        *(("RR64,Flat", True), ("PCAR64,Flat", True), ("PCA32,Flat,RFlat", True)),
    ],
)
def test_what_a_distance_is(factory, true_distances):
    plan = plan_index(factory, 10_000, 64)
    assert plan.true_distances == true_distances
    assert ("approximate" in plan.distances) != true_distances


@pytest.mark.parametrize(
    "factory", ["", "flat", "PCA64", "Flat,Flat", "Flat,IVF*", "HNSW*,PQ8", "IVF,Flat", "NSG32", "RFlat", "IVF0,Flat"]
)
def test_other_names_are_refused(factory):
    with pytest.raises(InputError, match="no index kind"):
        check_factory(factory)


@pytest.mark.parametrize(
    ("factory", "instead"),
    [("PQ16x4fsr", "PQ16x4fs,"), ("PCA64,PQ*x4fsr", "PCA64,PQ*x4fs,"), ("PQ*x4fsr,RFlat", "PQ*x4fs,RFlat,")],
)
def test_codes_of_residuals_need_lists(factory, instead):
    with pytest.raises(InputError) as error:
        check_factory(factory)
    assert "need lists" in str(error.value)
    assert f"set index.factory to {instead}" in str(error.value)
    check_factory(instead.rstrip(","))
    check_factory(factory.replace("PQ", "IVF*,PQ"))


def test_what_faiss_does_not_have_is_refused(vectors_and_table):
    """A sweep notes the error of such a kind and goes on to the next."""
    vectors, _ = vectors_and_table
    with pytest.raises(InputError, match="FAISS has no PQ6x4fsr"):
        train_faiss(vectors, Plan("PQ6x4fsr"))


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("PCA64,Flat", "PCA64 of 24 columns, expected at most as many"),
        ("PQ7x4fs", "24 columns cannot be cut into 7 equal parts"),
        ("PQ*", "50 windows cannot train PQ6, expected at least 256"),
        ("IVF4096,Flat", "50 windows cannot train IVF4096,Flat, expected at least 4096"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(vectors_and_table, factory, message):
    vectors, table = vectors_and_table
    manifest = {"embedder": "test", "fingerprint": "f", "dim": 24, "window": 9}
    with pytest.raises(InputError, match=message):
        build_index(vectors, table, manifest, factory=factory)


def test_a_parameter_below_one_is_refused():
    with pytest.raises(InputError, match="search parameter nprobe = 0"):
        plan_index("IVF*,Flat", 1000, 8, {"nprobe": 0})


def test_files_and_parts():
    assert index_file("IVF*,Flat") == "index.faiss"
    assert index_file("ScaNN") == "index.scann.tar"
    assert can_fill_in_parts("IVF*,Flat")
    assert not any(map(can_fill_in_parts, ("HNSW*", "ScaNN", "Torch")))

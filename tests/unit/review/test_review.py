"""The second opinion: faults put into good bins are found, good bins are left in peace, and every contig has a row."""

import csv

import numpy as np
import pandas as pd
import pytest

from workflow_lib.embed import embed_fasta, load_embedder
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_fasta, write_fasta
from workflow_lib.review import judge_bins, judge_contigs
from workflow_lib.review.contigs import upper_tail
from workflow_lib.review.genomes import _with_strays
from workflow_lib.review.stage import ReviewInputs, ReviewOptions, judge, review_sample

N_GENOMES, N_CONTIGS, DIM = 14, 40, 24


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def community():
    """Vectors around a centre a genome, noisier for short contigs; labels and lengths."""
    rng = np.random.default_rng(3)
    genomes = np.repeat(np.arange(N_GENOMES), N_CONTIGS)
    lengths = rng.lognormal(np.log(8000), 0.8, len(genomes)).astype(np.int64).clip(2500)
    noise = rng.standard_normal((len(genomes), DIM)) * (0.16 * np.sqrt(8000 / lengths))[:, None]
    return unit(unit(rng.standard_normal((N_GENOMES, DIM)))[genomes] + noise), genomes, lengths


def test_strangers_are_misplaced_and_their_own_bin_is_named(community):
    vectors, genomes, lengths = community
    labels = genomes.copy()
    strangers = np.arange(0, len(labels), 37)
    labels[strangers] = (labels[strangers] + 1) % N_GENOMES
    found = judge_contigs(vectors, labels, lengths)
    misplaced = found.verdicts == "misplaced"
    assert misplaced[strangers].mean() > 0.9
    assert misplaced.sum() <= len(strangers) + 0.01 * len(labels)
    assert np.all(
        found.other_bins[misplaced & np.isin(np.arange(len(labels)), strangers)]
        == genomes[strangers][misplaced[strangers]]
    )
    assert np.all(found.distances[misplaced] > found.other_distances[misplaced])


def test_false_alarms_are_as_rare_as_asked_for(community):
    vectors, genomes, lengths = community
    found = judge_contigs(vectors, genomes, lengths, false_alarm=0.05)
    assert 0.02 < np.mean(found.p_values < 0.05) < 0.09  # 5% of 560, two standard deviations and the fit of the null
    assert np.mean(found.verdicts == "misplaced") < 0.03  # another bin has to be nearer, too


def test_a_stranger_from_no_bin_is_an_outlier(community):
    vectors, genomes, lengths = community
    few = genomes < 2
    rng = np.random.default_rng(5)
    vectors, genomes, lengths = vectors[few], genomes[few].copy(), np.append(lengths[few], 20_000)
    stray = -vectors[:1] + 0.1 * rng.standard_normal((1, DIM)).astype(np.float32)
    found = judge_contigs(unit(np.vstack([vectors, stray])), np.append(genomes, 0), lengths)
    assert found.verdicts[-1] == "outlier"
    assert np.sum(found.verdicts != "fits") <= 2


def test_a_stranger_whose_genome_has_no_bin_is_an_outlier_though_another_bin_is_nearer(community):
    vectors, genomes, lengths = community
    labels = np.where(genomes == 0, -1, genomes - 1)
    strangers = np.flatnonzero(genomes == 0)
    labels[strangers] = np.arange(len(strangers)) % (N_GENOMES - 1)
    found = judge_contigs(vectors, labels, lengths)
    long = strangers[lengths[strangers] >= 5000]  # shorter ones are too noisy here to tell
    assert np.mean(found.other_distances[long] < found.distances[long]) > 0.5
    assert np.mean(found.verdicts[long] == "outlier") > 0.9


def test_one_bin_alone_can_be_judged(community):
    vectors, genomes, lengths = community
    one = genomes == 0
    found = judge_contigs(vectors[one], genomes[one], lengths[one])
    assert set(found.verdicts) <= {"fits", "outlier"}
    assert np.all(found.other_bins == -1)


def test_two_genomes_in_a_bin_are_split_into_just_them(community):
    vectors, genomes, lengths = community
    labels = np.where(genomes == 5, 4, genomes)
    labels[labels > 5] -= 1
    contigs, bins = judge(vectors, labels, lengths)
    assert np.flatnonzero(bins.split).tolist() == [4]
    parts = bins.parts[labels == 4]
    of = genomes[labels == 4]
    assert len(set(zip(parts.tolist(), of.tolist(), strict=True))) == 2
    assert np.sum(contigs.verdicts[labels == 4] == "misplaced") <= 2  # of 80: each is judged in its part


def test_strays_of_many_genomes_are_no_second_genome(community):
    vectors, genomes, lengths = community
    labels = genomes.copy()
    strays = np.flatnonzero(genomes != 0)[::55]
    labels[strays] = 0
    contigs, bins = judge(vectors, labels, lengths)
    assert not bins.split.any()
    assert np.mean(contigs.verdicts[strays] == "misplaced") > 0.9


def with_strays(labels, n_bins: int, share: float) -> np.ndarray:
    """Labels of which a share, spread over all bins, is another one."""
    rng = np.random.default_rng(8)
    moved = rng.random(len(labels)) < share
    return np.where(moved, (labels + rng.integers(1, n_bins, len(labels))) % n_bins, labels)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.15])
def test_two_genomes_and_halves_of_one_are_found_among_bins_that_all_have_strays(community, share):
    vectors, genomes, lengths = community
    labels = np.where(genomes == 5, 4, genomes)
    labels[np.flatnonzero(genomes == 7)[::2]] = 5
    strayed = with_strays(labels, N_GENOMES, share)
    contigs, bins = judge(vectors, strayed, lengths)
    assert np.flatnonzero(bins.split).tolist() == [4]
    assert [pair[:2] for pair in bins.merges] == [(5, 7)]
    strays = labels != strayed
    assert np.mean(contigs.verdicts[strays] == "misplaced") > 0.8
    both = strayed == 4
    assert np.all(bins.parts[both] > 0)  # strays have a part, too


@pytest.mark.parametrize("share", [0, 0.1])
def test_a_small_second_genome_is_not_taken_for_strays(community, share):
    vectors, genomes, lengths = community
    labels = with_strays(np.where(genomes == 5, 4, genomes), N_GENOMES, share)
    labels[np.flatnonzero(genomes == 5)[14:]] = -1
    contigs, bins = judge(vectors, labels, lengths)
    assert np.flatnonzero(bins.split).tolist() == [4]
    second = (genomes == 5) & (labels == 4)
    assert np.mean(contigs.verdicts[second] == "fits") > 0.9
    assert np.mean(judge_contigs(vectors, labels, lengths).verdicts[second] == "fits") < 0.5  # by the bin as a whole


def test_strays_join_the_nearer_part_of_a_bin_to_be_split_only(community):
    vectors, genomes, lengths = community
    labels, parts = genomes // 2, 1 + genomes % 2
    expected = parts.copy()
    parts[::4] = 0
    expected[(genomes > 1) & (parts == 0)] = 0
    split = np.arange(labels.max() + 1) == 0
    found = _with_strays(vectors, labels, lengths, parts, split)
    assert np.array_equal(found[labels > 0], expected[labels > 0])
    assert np.mean(found[labels == 0] == expected[labels == 0]) > 0.95


def test_strays_do_not_keep_two_bins_of_a_genome_apart(community):
    vectors, genomes, lengths = community
    labels = genomes.copy()
    labels[np.flatnonzero(genomes == 7)[::2]] = N_GENOMES
    strays = np.flatnonzero(genomes < 5)[::8]
    labels[strays] = N_GENOMES
    verdicts = np.full(len(labels), "fits", dtype="<U10")
    verdicts[strays] = "misplaced"
    pair = (7, N_GENOMES)
    assert pair in [found[:2] for found in judge_bins(vectors, labels, lengths, verdicts).merges]
    assert pair not in [found[:2] for found in judge_bins(vectors, labels, lengths).merges]


def test_a_genome_in_two_bins_is_merged(community):
    vectors, genomes, lengths = community
    labels = genomes.copy()
    rows = np.flatnonzero(genomes == 7)
    labels[rows[::2]] = N_GENOMES
    bins = judge_bins(vectors, labels, lengths)
    assert [pair[:2] for pair in bins.merges] == [(7, N_GENOMES)]
    assert bins.merges[0][2] <= bins.limit
    assert not bins.split.any()


def test_few_bins_and_few_contigs_are_not_judged(community):
    vectors, genomes, lengths = community
    few = genomes < 3
    bins = judge_bins(vectors[few], genomes[few], lengths[few])
    assert not bins.split.any() and not bins.merges and np.isnan(bins.limit)
    contigs = judge_contigs(vectors[:20], np.repeat(np.arange(5), 4), lengths[:20])
    assert set(contigs.verdicts) == {"not_judged"}


@pytest.mark.parametrize("n", [0, 40])
def test_nothing_and_copies_of_one_sequence(n):
    vectors = np.tile(np.eye(1, DIM, dtype=np.float32), (n, 1))
    labels = np.zeros(n, dtype=np.int64)
    contigs, bins = judge(vectors, labels, np.full(n, 3000))
    assert set(contigs.verdicts) <= {"fits"}
    assert not bins.split.any()


def test_zero_vectors_are_not_judged(community):
    vectors, genomes, lengths = community
    vectors[3] = 0
    assert judge(vectors, genomes, lengths)[0].verdicts[3] == "not_judged"


def test_upper_tail_ignores_what_is_far_out():
    values = np.random.default_rng(1).standard_normal(4000)
    spoiled = np.append(values, np.full(200, 9.0))
    assert np.mean(upper_tail(values) < 0.01) == pytest.approx(0.01, abs=0.005)
    assert np.mean(upper_tail(spoiled)[:4000] < 0.01) == pytest.approx(0.01, abs=0.005)
    assert np.all(upper_tail(spoiled)[4000:] < 1e-6)


# From files to files


def genome(rng, n_bp: int) -> bytes:
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    words = letters[np.array(np.unravel_index(np.arange(64), (4, 4, 4))).T]
    return words[rng.choice(64, n_bp // 3, p=rng.dirichlet(np.full(64, 2.0)))].tobytes()


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Ten genomes of thirty contigs, embedded by the real embedder; a short contig that the filter dropped."""
    folder = tmp_path_factory.mktemp("review")
    rng = np.random.default_rng(0)
    records = []
    for number in range(10):
        sequence = genome(rng, 150_000)
        records += [(f"g{number}_{i}", sequence[i * 5000 : (i + 1) * 5000]) for i in range(30)]
    write_fasta(folder / "contigs.fa.gz", records)
    rows = [f"{name}\t{len(sequence)}\tkept\t" for name, sequence in records]
    rows.insert(1, "short\t100\ttoo_short\tshorter than 2500 bp")
    (folder / "status.tsv").write_text("\n".join(["contig\tlength\tstatus\treason", *rows]) + "\n")
    embed_fasta(
        load_embedder("tnf-k"), folder / "contigs.fa.gz", folder / "embeddings", shard_folder=folder / ".shards",
        shard_mbp=8, n_pieces=300, min_piece=2000,
    )  # fmt: skip
    return folder, [name for name, _ in records]


def review(folder, out, assignments: dict[str, str], depth=None):
    (out / "given.tsv").write_text("".join(f"{contig}\t{name}\n" for contig, name in assignments.items()))
    inputs = ReviewInputs(
        out / "given.tsv", folder / "contigs.fa.gz", folder / "status.tsv", folder / "embeddings",
        folder / "embeddings/pieces.npz", depth,
    )  # fmt: skip
    paths = {name: out / f"{name}.tsv" for name in ("contigs", "bins", "merges")}
    review_sample(inputs, ReviewOptions(), **paths)
    tables = {}
    for name, path in paths.items():
        with open(path, newline="") as handle:
            tables[name] = list(csv.DictReader(handle, delimiter="\t"))
    return tables


def test_files(sample, tmp_path):
    folder, names = sample
    given = {name: name.split("_")[0] for name in names} | {"short": "g0", "g3_7": "g4", "g9_0": "g8"}
    given |= {f"g6_{i}": "g5" for i in range(30)}
    given |= {f"g2_{i}": "other" for i in range(15)}
    del given["g1_5"]
    tables = review(folder, tmp_path, given)
    rows = {row["contig"]: row for row in tables["contigs"]}
    assert list(rows) == [name for name in ["g0_0", "short", *names[1:]] if name in given]
    assert rows["short"]["verdict"] == "not_judged" and rows["short"]["reason"] == "shorter than 2500 bp"
    assert (rows["g3_7"]["verdict"], rows["g3_7"]["other_bin"]) == ("misplaced", "g3")
    assert (rows["g9_0"]["verdict"], rows["g9_0"]["other_bin"]) == ("misplaced", "g9")
    bins = {row["bin"]: row for row in tables["bins"]}
    assert set(bins) == set(given.values())
    assert [name for name, row in bins.items() if row["verdict"] == "split"] == ["g5"]
    assert {rows[f"g6_{i}"]["part"] for i in range(30)}.isdisjoint({rows[f"g5_{i}"]["part"] for i in range(30)})
    assert bins["g4"]["misplaced"] == "1" and bins["g4"]["misplaced_bp"] == "5000"
    assert [{row["bin_1"], row["bin_2"]} for row in tables["merges"]] == [{"g2", "other"}]


def test_gc_bias_of_the_libraries_is_no_fault_of_the_bins(sample, tmp_path):
    folder, names = sample
    rng = np.random.default_rng(2)
    gc = np.array(
        [np.mean([letter in b"GC" for letter in record.sequence]) for record in read_fasta(folder / "contigs.fa.gz")]
    )
    level = rng.normal(3, 0.3, (10, 3)).repeat(30, axis=0) + 0.05 * rng.standard_normal((300, 3))
    assignments = {name: name.split("_")[0] for name in names}
    called = []
    for slope in (0, 60):
        mean = np.exp(level + slope * (gc - gc.mean())[:, None] * [1, -1, 1])
        table = pd.DataFrame({"contig": names, "length": 5000})
        for library, column in enumerate(mean.T):
            table[f"l{library}"], table[f"l{library}-var"] = column, column
        table.to_csv(tmp_path / "depth.tsv", sep="\t", index=False)
        found = review(folder, tmp_path, assignments, tmp_path / "depth.tsv")
        called.append(np.mean([row["verdict"] == "fits" for row in found["contigs"]]))
    assert abs(called[0] - called[1]) < 0.01


def test_a_bin_of_filtered_contigs_only(sample, tmp_path):
    folder, names = sample
    given = {name: "g" + name.split("_")[0] for name in names} | {"short": "alone"}
    bins = {row["bin"]: row for row in review(folder, tmp_path, given)["bins"]}
    assert len(bins) == 11
    assert bins["alone"]["verdict"] not in ("split", "")


def test_bins_of_another_assembly(sample, tmp_path):
    with pytest.raises(InputError, match=r"1 of its 2 contigs are not in the sample, e\.g\. k141_1"):
        review(sample[0], tmp_path, {"g0_0": "a", "k141_1": "a"})


def test_no_bins_at_all(sample, tmp_path):
    assert review(sample[0], tmp_path, {}) == {"contigs": [], "bins": [], "merges": []}

"""Proposed taxa: the distance of a rank, names of groups, and the archive of novel bins."""

import numpy as np
import pytest
from test_sketch import random_sequence

from workflow_lib.manifest import read_manifest
from workflow_lib.novelty import taxa
from workflow_lib.novelty.design import TEST_RANKS
from workflow_lib.novelty.taxa import _Bin, _is_novel_at, _seen_before, _write_archive, rank_distance


def test_distance_of_a_rank():
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.standard_normal((6, 30)), 5, axis=0)
    rows = centres + 0.1 * rng.standard_normal(centres.shape)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    names = [f"g{i // 5}" for i in range(30)]
    limit = rank_distance(rows, names)
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    same = np.array(names)[:, None] == np.array(names)[None]
    assert distances[same].max() <= limit + 1e-6 < distances[~same].min()
    assert rank_distance(rows, [None] * 30) is None
    assert rank_distance(rows[:5], names[:5]) is None


def test_the_limit_does_not_depend_on_blocks():
    """Against all pairs at once, with more genomes than a block holds."""
    rng = np.random.default_rng(4)
    taxon = rng.integers(0, 300, 1200)
    centres = rng.standard_normal((300, 24))
    rows = centres[taxon] + 0.4 * rng.standard_normal((1200, 24))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    upper = np.triu_indices(1200, 1)
    distances = np.linalg.norm(rows[upper[0]] - rows[upper[1]], axis=1)
    same = (taxon[:, None] == taxon)[upper]
    order = np.argsort(distances)
    right = np.cumsum(same[order]) / same.sum() - np.cumsum(~same[order]) / (~same).sum()
    limit = rank_distance(rows, [str(number) for number in taxon])
    assert limit == pytest.approx(distances[order][right.argmax()], abs=2e-3)  # four steps of distance


@pytest.mark.parametrize(
    ("call", "ranks"),
    [("novel_species", []), ("novel_genus", ["genus"]), ("novel_order", ["genus", "family", "order"]), ("novel", [])],
)
def test_groups_are_named_up_to_the_rank_of_the_call(call, ranks):
    assert [rank for rank in TEST_RANKS[1:] if _is_novel_at(call, rank)] == ranks


@pytest.fixture
def bins():
    rng = np.random.default_rng(12)
    row = {"call": "novel_genus", "length": "40000"}
    return [_Bin("s", f"bin.{i}", row, [random_sequence(rng, 40_000)], np.zeros(2)) for i in range(3)]


def test_two_runs_that_write_one_archive_make_no_mixture(monkeypatch, tmp_path, bins):
    """The other run writes all of it between this one's sketches and table: bins have other numbers there."""
    opened = taxa.atomic_open

    def interrupted(path, *args):
        monkeypatch.setattr(taxa, "atomic_open", opened)
        _write_archive(tmp_path / "archive", bins[::-1], ["t", "t", "t"])
        return opened(path, *args)

    monkeypatch.setattr(taxa, "atomic_open", interrupted)
    _write_archive(tmp_path / "archive", bins, ["t", "t", "t"])
    assert _seen_before(bins, {"x": str(tmp_path / "archive")}) == [f"x/s/bin.{i} (100.00)" for i in range(3)]


def test_an_archive_replaces_what_was_there(tmp_path, bins):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "archive").symlink_to(tmp_path / "elsewhere")
    for number in (3, 1, 0):
        _write_archive(tmp_path / "archive", bins[:number], ["t"] * number)
        n_files = len(read_manifest(tmp_path / "elsewhere", sealed=True)["checksums"])
        assert n_files == (1 if number == 0 else len([*(tmp_path / "elsewhere" / "sketches").iterdir()]) + 1)
        assert [bool(seen) for seen in _seen_before(bins, {"x": str(tmp_path / "archive")})] == [
            place < number for place in range(3)
        ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "elsewhere"]

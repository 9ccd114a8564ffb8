"""Contigs are held against pieces of about their length: noise falls with it."""

from dataclasses import fields

import numpy as np
import pytest

from workflow_lib.fasta import write_fasta
from workflow_lib.index.genome_cache import load_genome
from workflow_lib.index.reference import _pieces
from workflow_lib.index.windows import parse_window
from workflow_lib.novelty.calibration_set import CalibrationSet
from workflow_lib.novelty.design import CALIBRATED, REFERENCE
from workflow_lib.novelty.queries import _length_classes
from workflow_lib.novelty.strata import find_class
from workflow_lib.tables import Genome

BOUNDS = np.array([2500, 5000, 10_000, 20_000])


def make_calibration(lengths, genomes, scores, bounds=BOUNDS):
    """A calibration of contigs, each genome a unit."""
    n_genomes = int(genomes.max()) + 1
    values = dict.fromkeys((field.name for field in fields(CalibrationSet)), np.zeros(0))
    values |= {"bounds": bounds, "calibrating": np.arange(n_genomes), "piece_genome": genomes, "piece_length": lengths}
    values["units"] = np.tile(np.arange(n_genomes), (len(CALIBRATED), 1))
    values["piece_scores"] = np.tile(scores, (len(CALIBRATED), 1))
    return CalibrationSet(**values)


def draw(lengths, generator):
    """Scores whose noise falls with the square root of the length."""
    return 1 + generator.exponential(size=len(lengths)) * np.sqrt(2500 / lengths)


@pytest.mark.parametrize(("low", "high"), [(2500, 2501), (5000, 5001), (9900, 9999), (5000, 9999), (10_000, 10_001)])
def test_p_values_are_uniform_wherever_in_its_stratum_a_contig_lies(low, high):
    generator = np.random.default_rng(5)
    ends = np.linspace(np.log(BOUNDS[:-1]), np.log(BOUNDS[1:] - 1), 9)  # as pieces are spread
    lengths = np.concatenate([np.exp(generator.uniform(ends[:-1], ends[1:])).ravel().astype(int) for _ in range(600)])
    calibration = make_calibration(lengths, np.repeat(np.arange(600), 24), draw(lengths, generator))
    queries = generator.integers(low, high, 20_000)
    stratum = int(np.searchsorted(BOUNDS, low, side="right") - 1)
    classes = find_class(queries, 2500)
    scores, p, plain = draw(queries, generator), np.zeros(len(queries)), np.zeros(len(queries))
    for number in np.unique(classes):
        own = classes == number
        p[own] = calibration.pieces(stratum, REFERENCE, length_class=int(number)).p_large(scores[own])
        plain[own] = calibration.pieces(stratum, REFERENCE).p_large(scores[own])
    assert np.mean(p <= 0.1) == pytest.approx(0.1, abs=0.017)
    if high - low == 1:  # the whole stratum is too long for its shortest contigs
        assert np.mean(plain <= 0.1) > 0.13


def test_every_genome_of_the_stratum_counts():
    lengths = np.array([5000, 9500, 5100, 9900, 9800, 7000, 4000, 12_000])
    genomes = np.array([0, 0, 1, 2, 2, 2, 3, 4])
    calibration = make_calibration(lengths, genomes, np.arange(8.0))
    rows = calibration._rows(1, int(find_class(np.array([9900]), 2500)[0]))
    # Genome 1 has nothing as long, but what is shorter; 4 something longer, of another stratum; 3 nothing of this one.
    assert rows.tolist() == [1, 2, 3, 4, 7]
    assert calibration._rows(1, int(find_class(np.array([5000]), 2500)[0])).tolist() == [0, 2, 5, 6]
    # Of genome 0 of the next only longer ones are there.
    few = make_calibration(lengths[1:], genomes[1:], np.arange(7.0))
    assert few._rows(1, int(find_class(np.array([5000]), 2500)[0])).tolist() == [0, 1, 4, 5]
    # Of the next both; its shorter one errs to the safe side.
    wide = make_calibration(np.array([1050, 2450, 1700]), np.array([0, 0, 1]), np.arange(3.0), np.array([1000, 2500]))
    assert wide._rows(0, int(find_class(np.array([1700]), 1000)[0])).tolist() == [0, 2]
    assert few._rows(1, None).tolist() == [0, 1, 2, 3, 4]


def test_a_contig_held_against_a_shorter_stratum_is_as_long_as_its_longest_pieces():
    found = _length_classes(np.array([40_000, 40_000]), np.array([0, 2]), BOUNDS)
    assert found.tolist() == find_class(np.array([5000, 20_000]), 2500).tolist()


def test_strata_share_a_class_but_no_rows():
    number = int(find_class(np.array([5000]), 2500)[0])
    one = make_calibration(np.array([4000, 9000, 7500]), np.array([0, 0, 1]), np.arange(3.0))
    assert one._rows(0, number).tolist() == [0]
    assert one._rows(1, number).tolist() == [0, 2]
    open_end = make_calibration(np.array([7070, 7071]), np.array([0, 0]), np.arange(2.0))
    assert open_end._rows(1, number).tolist() == [0]


def test_lengths_of_pieces_are_spread_evenly_in_no_order(tmp_path):
    sequence = np.random.default_rng(1).choice(list(b"ACGT"), 60_000).astype(np.uint8).tobytes()
    write_fasta(tmp_path / "a.fa", [("c", sequence)])
    genome = load_genome(Genome("a", str(tmp_path / "a.fa"), {}))
    lengths = np.diff([parse_window(name)[-2:] for name, _ in _pieces(genome, (2500, 5000, 10_000), 8, seed=3)])[:, 0]
    assert len(lengths) == 16
    for low, own in ((2500, lengths[:8]), (5000, lengths[8:])):
        assert np.sort(np.log2(own / low) * 8).astype(int).tolist() == list(range(8))
        assert own.tolist() != sorted(own)


def random_bases(generator, n):
    return generator.choice(list(b"ACGT"), n).astype(np.uint8).tobytes()


@pytest.fixture
def cut_pieces(tmp_path):
    """Names of the pieces that are cut from these contigs."""

    def cut(contigs, bounds):
        write_fasta(tmp_path / "a.fa", [(f"c{i}", contig) for i, contig in enumerate(contigs)])
        return [name for name, _ in _pieces(load_genome(Genome("a", str(tmp_path / "a.fa"), {})), bounds, 8, seed=3)]

    return cut


def test_pieces_of_fragments_are_spread_up_to_the_longest(cut_pieces):
    generator = np.random.default_rng(1)
    names = cut_pieces([random_bases(generator, 6000) for _ in range(9)], (5000, 10_000))
    lengths = np.diff([parse_window(name)[-2:] for name in names])[:, 0]
    assert np.sort(np.log(lengths / 5000) / np.log(6001 / 5000) * 8).astype(int).tolist() == list(range(8))


def test_pieces_are_tried_again_where_there_is_n(cut_pieces):
    generator = np.random.default_rng(1)
    contig = b"".join(random_bases(generator, 20_000) + b"N" * 10_000 for _ in range(9))
    assert len(cut_pieces([contig], (2500, 5000, 10_000))) == 16


def test_no_piece_is_cut_twice(cut_pieces):
    names = cut_pieces([random_bases(np.random.default_rng(1), 2502)], (2500, 5000))
    assert len(names) == len(set(names)) > 1

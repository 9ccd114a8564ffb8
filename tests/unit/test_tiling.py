"""Neighbouring pieces that share no base."""

from workflow_lib.tiling import tile


def pieces(lengths, sequences):
    """Pieces of sequences of these lengths in bp, with lengths drawn in the order given."""
    drawn, waiting = iter(lengths), []
    return [list(tile(n_bp, lambda: next(drawn), waiting)) for n_bp in sequences], waiting


def test_pieces_are_neighbours_from_the_first_base_on():
    assert pieces([3, 4, 9], [10]) == ([[(0, 3), (3, 7)]], [9])
    assert pieces([10, 1], [10]) == ([[(0, 10)]], [1])
    assert pieces([1], [0]) == ([[]], [1])


def test_a_length_that_does_not_fit_is_used_once_where_it_does():
    found, waiting = pieces([6, 6, 8, 2, 5, 1], [10, 9, 7])
    # 6 and 8 wait; 6 is cut from the second sequence, where 8 does not fit behind it; 2 follows.
    assert found == [[(0, 6)], [(0, 6)], [(0, 2), (2, 7)]]
    assert waiting == [8, 1]


def test_of_lengths_that_wait_the_first_that_fits_comes_first():
    found, waiting = pieces([9, 5, 2, 9, 9], [4, 4, 8])
    assert found[2] == [(0, 5), (5, 7)]
    assert waiting == [9, 9]

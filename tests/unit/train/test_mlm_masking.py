import numpy as np
import pytest

from workflow_lib.train.mlm_masking import IGNORED, choose_tokens, mask_tokens

MASK, TOKENS = 4, np.arange(5, 4101)


def rows(rng, shape=(300, 200)):
    """Random tokens between a special first and last token, the second half of each third row padding."""
    ids = rng.choice(TOKENS, shape)
    maskable = np.ones(shape, dtype=bool)
    maskable[:, 0] = maskable[:, -1] = False
    maskable[::3, shape[1] // 2 :] = False
    ids[~maskable] = 0
    return ids, maskable


def run_lengths(row):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return edges[::2], edges[1::2]


@pytest.mark.parametrize("span", [1, 3, 6, 14])
def test_share_of_chosen_tokens_does_not_depend_on_the_span_or_the_place(span):
    _, maskable = rows(np.random.default_rng(0), (6000, 60))
    chosen = choose_tokens(maskable, span=span, share=0.15, rng=np.random.default_rng(1))
    assert not chosen[~maskable].any()
    # More than 5 standard errors: about 6,000 rows / 14 independent spans a place, 20,000 in all.
    assert chosen[maskable].mean() == pytest.approx(0.15, abs=0.015)
    by_place = chosen[1::3, 1:-1].mean(axis=0)
    assert by_place.min() > 0.11
    assert by_place.max() < 0.19


@pytest.mark.parametrize("span", [3, 6])
def test_chosen_tokens_stand_in_whole_spans_unless_at_an_end(span):
    _, maskable = rows(np.random.default_rng(2))
    chosen = choose_tokens(maskable, span=span, share=0.1, rng=np.random.default_rng(3))
    for row, allowed in zip(chosen, maskable, strict=True):
        for start, stop in zip(*run_lengths(row), strict=True):
            touches_end = not allowed[start - 1] or not allowed[stop]
            assert stop - start >= span or touches_end


@pytest.mark.parametrize("n", [4, 9, 30])
def test_hidden_letters_of_overlapping_kmers_are_told_by_no_visible_token(n):
    """Each run of hidden k-mers leaves a letter that no visible k-mer of the row spells."""
    k = 4
    maskable = np.ones((200, n), dtype=bool)
    chosen = choose_tokens(maskable, span=k, share=0.2, rng=np.random.default_rng(4))
    for row in chosen:
        visible = np.zeros(n + k - 1, dtype=bool)
        for place in np.flatnonzero(~row):
            visible[place : place + k] = True
        for start, stop in zip(*run_lengths(row), strict=True):
            assert not visible[start : stop + k - 1].all()


@pytest.mark.parametrize("span", [1, 6])
def test_something_is_always_chosen(span):
    maskable = np.zeros((5, 12), dtype=bool)
    maskable[2, 3] = True
    for seed in range(20):
        chosen = choose_tokens(maskable, span=span, share=0.001, rng=np.random.default_rng(seed))
        assert (chosen == maskable).all()


@pytest.mark.parametrize("span", [1, 6])
def test_replacements_labels_and_what_is_left_alone(span):
    ids, maskable = rows(np.random.default_rng(6), (2000, 120))
    before = ids.copy()
    rng = np.random.default_rng(7)
    inputs, labels = mask_tokens(ids, maskable, mask_id=MASK, replacements=TOKENS, span=span, rng=rng)
    assert (ids == before).all()
    assert inputs.dtype == labels.dtype == np.int64
    chosen = labels != IGNORED
    assert (labels[chosen] == ids[chosen]).all()
    assert not chosen[~maskable].any()
    assert (inputs[~chosen] == ids[~chosen]).all()
    assert chosen[maskable].mean() == pytest.approx(0.15, abs=0.01)
    assert (inputs[chosen] == MASK).mean() == pytest.approx(0.8, abs=0.02)
    # A random token is the same one now and then: 1 in 4,096.
    assert (inputs[chosen] == ids[chosen]).mean() == pytest.approx(0.1, abs=0.02)
    assert np.isin(inputs[chosen], [MASK, *TOKENS]).all()


def test_a_run_of_overlapping_tokens_has_one_fate():
    ids, maskable = rows(np.random.default_rng(8))
    rng = np.random.default_rng(9)
    inputs, labels = mask_tokens(ids, maskable, mask_id=MASK, replacements=TOKENS, span=6, rng=rng)
    fates = set()
    for row_ids, row_inputs, row_labels in zip(ids, inputs, labels, strict=True):
        for start, stop in zip(*run_lengths(row_labels != IGNORED), strict=True):
            new, old = row_inputs[start:stop], row_ids[start:stop]
            masked, kept = new == MASK, new == old
            assert masked.all() or not masked.any()
            assert kept.all() or kept.mean() < 0.5
            fates.add("mask" if masked.all() else "keep" if kept.all() else "random")
    assert fates == {"mask", "keep", "random"}


def test_same_seed_same_masks():
    ids, maskable = rows(np.random.default_rng(10))
    one, two = (
        mask_tokens(ids, maskable, mask_id=MASK, replacements=TOKENS, rng=np.random.default_rng(11)) for _ in range(2)
    )
    assert (one.inputs == two.inputs).all()
    assert (one.labels == two.labels).all()


def test_nothing_to_mask():
    for shape in ((0, 5), (3, 5)):
        ids, maskable = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=bool)
        rng = np.random.default_rng(0)
        masked = mask_tokens(ids, maskable, mask_id=MASK, replacements=TOKENS, span=3, rng=rng)
        assert (masked.inputs == ids).all()
        assert (masked.labels == IGNORED).all()

"""Contrastive losses against plain loops and against the reference implementation's values."""

import math

import numpy as np
import pytest
import torch

from workflow_lib.train.losses import i_mix, mi_mix, weighted_simclr


def unit(rng, n, d):
    rows = rng.normal(size=(n, d))
    return torch.from_numpy(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def weigh(similarities):
    """Sum of exponentials, each weighted by itself over their mean."""
    values = [math.exp(s) for s in similarities]
    return sum(v * v / (sum(values) / len(values)) for v in values)


def slow_simclr(z1, z2, temperature):
    n, rows = len(z1), [*z1.tolist(), *z2.tolist()]

    def s(i, j):
        return sum(a * b for a, b in zip(rows[i], rows[j], strict=True)) / temperature

    losses = []
    for i in range(2 * n):
        pair = (i + n) % (2 * n)
        positive = math.exp(s(i, pair))
        losses.append(-math.log(positive / (positive + weigh([s(i, j) for j in range(2 * n) if j not in (i, pair)]))))
    return sum(losses) / len(losses)


def slow_mix(mixed, z2, permutation, lam, temperature, *, weighted):
    losses = []
    for i, row in enumerate(mixed.tolist()):
        s = [sum(a * b for a, b in zip(row, other, strict=True)) / temperature for other in z2.tolist()]
        others = [value for j, value in enumerate(s) if j != i]
        total = math.exp(s[i]) + (weigh(others) if weighted else sum(map(math.exp, others)))
        losses.append(math.log(total) - lam[i] * s[i] - (1 - lam[i]) * s[permutation[i]])
    return sum(losses) / len(losses)


@pytest.mark.parametrize("n", [2, 7])
def test_losses_are_those_of_plain_loops(n):
    rng = np.random.default_rng(n)
    z1, z2, permutation, lam = unit(rng, n, 5), unit(rng, n, 5), torch.from_numpy(rng.permutation(n)), rng.random(n)
    assert float(weighted_simclr(z1, z2, 0.1)) == pytest.approx(slow_simclr(z1, z2, 0.1), rel=1e-5)  # float32
    for loss, weighted in ((mi_mix, True), (i_mix, False)):
        expected = slow_mix(z1, z2, permutation.tolist(), lam, 0.1, weighted=weighted)
        assert float(loss(z1, z2, permutation, torch.from_numpy(lam), 0.1)) == pytest.approx(expected, rel=1e-5)
        for share in (0.3, 1.0):  # one share of all rows
            expected = slow_mix(z1, z2, permutation.tolist(), [share] * n, 0.1, weighted=weighted)
            assert float(loss(z1, z2, permutation, share, 0.1)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.shared
def test_losses_are_those_of_the_reference_implementation(shared):
    oracle = np.load(shared / "oracles/losses.npz")
    z1, z2 = (torch.from_numpy(oracle[name]) for name in ("features_1", "features_2"))
    temperature = float(oracle["temperature"])
    found = weighted_simclr(z1, z2, temperature)
    assert float(found) == pytest.approx(float(oracle["weighted_simclr"]), abs=1e-6)
    permutation = torch.from_numpy(oracle["mix_permutation"])
    found = mi_mix(z1, z2, permutation, float(oracle["mix_lambda"]), temperature)
    assert float(found) == pytest.approx(float(oracle["mi_mix"]), abs=1e-6)


def test_a_low_temperature_and_equal_rows_stay_finite():
    z = torch.ones(4, 3) / 3**0.5
    for loss in (weighted_simclr(z, z, 0.001), mi_mix(z, -z, torch.arange(4), 0.5, 0.001)):
        assert torch.isfinite(loss)
    assert float(weighted_simclr(z, z)) == pytest.approx(math.log(7))  # 1 of 2b - 1 rows that are all alike


def test_pulling_pairs_together_lowers_the_loss():
    rng = np.random.default_rng(0)
    z1, z2 = unit(rng, 8, 4).float().requires_grad_(), unit(rng, 8, 4).float()
    before = weighted_simclr(z1, z2)
    before.backward()
    moved = torch.nn.functional.normalize(z1 - 0.01 * z1.grad, dim=1).detach()
    assert weighted_simclr(moved, z2) < before


@pytest.mark.parametrize("shapes", [((1, 3), (1, 3)), ((2, 3), (3, 3)), ((4,), (4,))])
def test_views_that_do_not_fit(shapes):
    with pytest.raises(ValueError, match="expected"):
        weighted_simclr(*(torch.ones(shape) for shape in shapes))

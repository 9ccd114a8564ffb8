"""How much depth counts in the similarity of two contigs, found from the sample's own contigs."""

from __future__ import annotations

import numpy as np

from workflow_lib.bin.fuse import DepthProfile, depth_similarity, half_depths
from workflow_lib.bin.metric import Pieces
from workflow_lib.bin.threshold import pair_similarity, random_pairs, separate

# Beyond them one kind would drown the other: copies of a plasmid have the same depth, and the halves of a long contig
# are alike because they are neighbours.
_SHARES = (0.35, 0.45, 0.55, 0.65)
_LEAST_HALVES = 200  # contigs in halves; fewer choose by chance: of 20 seeds hardly two agree with 40, 17 do with 200
_USUAL_SHARE = 0.55  # times L / (L + 1/2), for a sample that cannot tell


def depth_share(
    vectors: np.ndarray, pieces: Pieces, profile: DepthProfile | None, *, given: float | None = None, seed: int = 1
) -> float:
    """The share of depth: the one given, or else the one that best tells halves of a contig from different contigs.

    Of the shares 0.35, 0.45, 0.55 and 0.65 the one whose best threshold has the highest (S/D)^4 S, see
    `threshold.separate`. More libraries, longer contigs and less noise of depth make depth tell more; a better embedder
    makes composition tell more.

    Parameters
    ----------
    vectors : float32 (n, d) unit rows, from composition alone.
    pieces : halves of these contigs in the same space.
    profile : depth of the n contigs in L libraries; None where there is none.
    given : 0 to 1; None: find it.
    seed : of the noise of the halves and of the random pairs.

    Returns
    -------
    0 to 1; 0 without a profile. With fewer than 200 pieces 0.55 L / (L + 1/2): one library tells less than
    many.
    """
    if profile is None:
        return 0.0
    if given is not None:
        return given
    if len(pieces) < _LEAST_HALVES:
        n_libraries = len(profile.libraries)
        return _USUAL_SHARE * n_libraries / (n_libraries + 0.5)
    first, second = random_pairs(pieces.rows, np.random.default_rng(seed))
    composition = np.einsum("ij,ij->i", pieces.vectors[:, 0], pieces.vectors[:, 1]).astype(np.float64)
    depth = depth_similarity(*half_depths(pieces, profile, seed=seed), profile.bandwidth)
    composition_apart = pair_similarity(vectors, first, second)
    depth_apart = depth_similarity(profile.log[first], profile.log[second], profile.bandwidth)
    merits = [
        separate((1 - share) * composition + share * depth, (1 - share) * composition_apart + share * depth_apart)[1]
        for share in _SHARES
    ]
    return _SHARES[int(np.argmax(merits))]

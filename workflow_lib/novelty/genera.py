"""Genes that several genera share: a query is not known by a genome while another genus matches it nearly as well."""

from __future__ import annotations

import numpy as np

from workflow_lib.index.windows import WindowTable
from workflow_lib.novelty.alike import find_alike
from workflow_lib.novelty.calibration_set import CalibrationSet
from workflow_lib.novelty.design import encode_names
from workflow_lib.novelty.identity import Pairs

# Identity by which the next genus must fall behind. Contigs of 3 to 8 kbp with a rRNA operon, of genera left out of the
# training genomes, fall behind by less in 89 to 96% of those that match at 0.92 or more; other contigs of strains of
# indexed species in 1 to 3%.
GENUS_MARGIN = 0.05


def find_genera(table: WindowTable, calibration: CalibrationSet) -> np.ndarray:
    """int64 (G,): a number for the genus of each genome of the index, -1 where it has no name.

    Genera are one where a genome of the one is of the species of a genome of the other, by the identity of what they
    share, a third of each or more (`Alike.join`): Escherichia and Shigella in some taxonomies.
    """
    genera = encode_names([lineage.get("genus") for lineage in table.lineages])
    alike = find_alike(calibration.matches, calibration.piece_genome, calibration.calibrating, table.genome_bp)
    return alike.join(genera)


def keep_one_genus(pairs: Pairs, genera: np.ndarray) -> Pairs:
    """The pairs whose identity no genome of another genus reaches but for `GENUS_MARGIN`.

    What several genera have alike, a rRNA operon above all, tells no species. For a genome without a genus the best of
    the genera may be its own: the next counts.
    """
    group, genome, identity, _ = pairs
    own = genera[genome]
    order = np.lexsort((identity, group))
    order = order[own[order] >= 0]
    n_groups = int(group.max(initial=-1)) + 1
    best, first = np.full(n_groups, -1), np.zeros(n_groups)
    best[group[order]], first[group[order]] = own[order], identity[order]  # the last of a group stands
    rest = order[own[order] != best[group[order]]]
    second = np.zeros(n_groups)
    second[group[rest]] = identity[rest]
    next_genus = np.where((own < 0) | (own == best[group]), second[group], first[group])
    kept = (identity - next_genus).round(6) > GENUS_MARGIN  # 0.95 - 0.90 is not 0.05 in floating point
    return tuple(values[kept] for values in pairs)

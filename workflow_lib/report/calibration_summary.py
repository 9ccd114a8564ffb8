"""Whether the novelty calls hold their error rate, as the page shows it: the tables of `novelty.honesty`."""

from __future__ import annotations

from pathlib import Path

from workflow_lib.novelty.design import TEST_RANKS
from workflow_lib.report.inputs import number, read_table

_RATES = ("alpha", "units", "queries", "realised", "standard_error", "p_null", "power")


def calibration_summary(folder: str | Path) -> dict:
    """Read the tables of `measure_calibration`.

    Returns
    -------
    dict with "strata" (level, stratum, test, units, smallest q), "rates" (level, stratum, rank and `_RATES`), rows as
    lists; "named": ranks that the reference names, from species up; "untested": those that no query is tested at;
    "distances": stratum -> what was left out -> {"edges", "density"}; "identities": lists of distance, ANI (%) and
    aligned fraction of pairs of nearest genomes, ANI null where skani finds none.
    """
    folder = Path(folder)
    columns = ("level", "stratum", "test", "tested")
    strata = read_table(folder / "strata.tsv", required=columns, numeric=("units", "smallest_q"))
    tested = set(strata["test"][strata["tested"] == "yes"])
    named = [rank for rank in TEST_RANKS if rank in set(strata["test"])]
    rates = read_table(folder / "rates.tsv", required=("level", "stratum", "rank"), numeric=_RATES)
    pairs = read_table(folder / "identities.tsv", required=("genome",), numeric=("distance", "ani", "aligned_fraction"))
    return {
        "strata": [
            [row.level, row.stratum, row.test, int(row.units), number(row.smallest_q)] for row in strata.itertuples()
        ],
        "named": named,
        "untested": [rank for rank in named if rank not in tested],
        "rates": [
            [row.level, row.stratum, row.rank, *(number(getattr(row, name)) for name in _RATES)]
            for row in rates.itertuples()
        ],
        "distances": _densities(folder / "distances.tsv"),
        "identities": {
            "genomes": [f"{row.genome}, {row.nearest_genome}" for row in pairs.itertuples()],
            **{name: [number(value) for value in pairs[name]] for name in ("distance", "ani", "aligned_fraction")},
        },
    }


def _densities(path: Path) -> dict:
    table = read_table(path, required=("stratum", "left_out"), numeric=("low", "high", "density"))
    found: dict[str, dict] = {}
    for (stratum, left_out), rows in table.groupby(["stratum", "left_out"], sort=False):
        edges = [*rows["low"], rows["high"].iloc[-1]]
        found.setdefault(stratum, {})[left_out] = {
            "edges": [number(edge, 5) for edge in edges],
            "density": [number(value, 5) for value in rows["density"]],
        }
    return found

"""The genome clusters of all samples as a table, and the review of given bins as one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workflow_lib.report.inputs import number, read_table
from workflow_lib.report.story import count

if TYPE_CHECKING:
    import pandas as pd

_MOST_ROWS = 2000  # of each table on the page; the files have all
_CLUSTER_COLUMNS = (
    ("representative", "genome", "name", "the best bin of the cluster; genomes/fasta/ has its sequence"),
    ("length_bp", "length", "bp", "of this bin"),
    ("n50", "N50", "bp", "of this bin"),
    ("completeness", "completeness", "percent", "of this bin, estimated from marker genes"),
    ("contamination", "contamination", "percent", "of this bin, estimated from marker genes"),
    ("bins", "bins", "integer", "bins in the cluster"),
    ("sources", "samples", "integer", "samples and folders that they come from"),
    ("least_ani", "lowest ANI", "percent", "average nucleotide identity of the farthest bin to the genome"),
)
LEAST_BINS, LEAST_CONTIGS = 8, 5  # in each, for bins to be judged as a whole; as in workflow_lib.review
LEAST_JUDGED = 30  # contigs in such bins, for any to be judged
_REVIEW_COLUMNS = (
    ("bin", "bin", "name", "name of the bin as it was given"),
    ("n_contigs", "contigs", "integer", "contigs that novabin has judged or could"),
    ("length_bp", "length", "bp", "their base pairs"),
    ("misplaced", "misplaced", "integer", "contigs that fit another bin, and not this one"),
    ("misplaced_bp", "misplaced bp", "bp", "their base pairs"),
    ("verdict", "the bin", "text", "one genome, two (split), or not judged and why"),
    ("part_2_bp", "second genome", "bp", "base pairs of the smaller part, where it is two"),
    ("merge_with", "merge with", "text", "bins that are of the same genome"),
)


def cluster_table(path: str | Path) -> dict:
    """{"columns", "rows", "total"} of clusters.tsv, a row a cluster, best first; columns without a value left out."""
    numeric = ("length_bp", "n50", "completeness", "contamination", "ani")
    table = read_table(path, required=("cluster", "genome", "representative", "source"), numeric=numeric)
    rows = []
    for _, members in table.groupby("cluster", sort=False):
        best = members[members["representative"] == "yes"].iloc[0]
        rows.append(
            {
                "representative": best["genome"],
                **{key: number(best[key]) for key in numeric[:-1]},
                "bins": len(members),
                "sources": int(members["source"].nunique()),
                "least_ani": number(members["ani"].min()) if len(members) > 1 else None,
            }
        )
    return _table(_CLUSTER_COLUMNS, rows)


def review_table(bins: str | Path, merges: str | Path) -> dict:
    """{"columns", "rows", "total", "note"} of a review: the given bins, those with something to mend first."""
    numeric = ("n_contigs", "length_bp", "judged", "misplaced", "misplaced_bp", "outliers", "part_2_bp")
    table = read_table(bins, required=("bin", "verdict", *numeric), numeric=numeric)
    pairs = read_table(merges, required=("bin_1", "bin_2"))
    partners = _partners(pairs)
    whole = (table["verdict"] != "not_judged").any()
    unjudged = f"not judged: too few {'contigs' if whole else 'bins'}"
    rows = []
    for row in table.to_dict("records"):
        verdict = {"one_genome": "one genome", "split": "two genomes", "not_judged": unjudged}[row["verdict"]]
        if not row["judged"]:
            verdict = "not judged: too few contigs"
        values = {key: number(row[key]) for key in numeric} | {"bin": row["bin"], "verdict": verdict}
        rows.append(values | {"merge_with": ", ".join(partners.get(row["bin"], [])) or None})
    rows.sort(key=lambda row: not (row["misplaced"] or row["verdict"] == "two genomes" or row["merge_with"]))
    return {**_table(_REVIEW_COLUMNS, rows), "note": " ".join(_tell_review(table, len(pairs)))}


def _tell_review(table: pd.DataFrame, n_merges: int) -> list[str]:
    """Sentences on what the review found, and on what it could not judge; no count of what was not looked for."""
    if not len(table):
        return ["The bins that were given hold no contig of this sample: nothing could be judged."]
    whole = int((table["verdict"] != "not_judged").sum())
    least = f"at least {LEAST_BINS} bins of {LEAST_CONTIGS} contigs that passed the filter"
    if whole:
        split = int((table["verdict"] == "split").sum())
        told = [
            f"Of {count(len(table), 'bin')} that were given, {whole:,} could be judged as a whole.",
            f"{split:,} should be split and {count(n_merges, 'pair')} merged.",
        ]
    else:
        told = [
            f"None of the {count(len(table), 'bin')} that were given could be judged as a whole: that takes {least}. "
            "So nothing is known of bins to split or to merge."
        ]
    if not table["judged"].any():
        return [*told, f"Nor could any contig be judged: that takes {LEAST_JUDGED} contigs in bins of {LEAST_CONTIGS}."]
    judged, misplaced = int(table["judged"].sum()), int(table["misplaced"].sum())
    told.append(f"Of {count(judged, 'contig')} that could be judged, {misplaced:,} fit another bin and not their own.")
    return [*told, "The folder review/ names them."]


def _partners(pairs: pd.DataFrame) -> dict[str, list[str]]:
    partners: dict[str, list[str]] = {}
    for first, second in zip(pairs["bin_1"], pairs["bin_2"], strict=True):
        partners.setdefault(first, []).append(second)
        partners.setdefault(second, []).append(first)
    return partners


def _table(specification: tuple, rows: list[dict]) -> dict:
    shown = [entry for entry in specification if any(row[entry[0]] is not None for row in rows)]
    return {
        "columns": [{"key": key, "label": label, "kind": kind, "title": title} for key, label, kind, title in shown],
        "rows": [[row[key] for key, *_ in shown] for row in rows[:_MOST_ROWS]],
        "total": len(rows),
    }

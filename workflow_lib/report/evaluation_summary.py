"""Evaluation against a truth: the long table of metrics as one row a metric, and the bins' two axes."""

from __future__ import annotations

from pathlib import Path

from workflow_lib.report.inputs import number, read_table

_SHARES = ("completeness", "purity", "contamination", "f1", "share_assigned", "ari", "rand", "accuracy", "precision",
           "recall", "fraction")  # fmt: skip


def evaluation_summary(metrics: str | Path, bins: str | Path | None = None) -> dict:
    """Pivot metrics.tsv (metric, by, unbinned, value).

    Returns
    -------
    {"settings": [[by, unbinned], ...], "rows": [[metric, value a setting or None, ...], ...], "n_bins": int or None};
    metrics and settings in the order of the file.

    Raises
    ------
    InputError
        when a column is missing or a value is no number.
    """
    table = read_table(metrics, required=("metric", "by", "unbinned", "value"), numeric=("value",))
    settings = list(dict.fromkeys(zip(table["by"], table["unbinned"], strict=True)))
    values: dict[str, list] = {metric: [None] * len(settings) for metric in dict.fromkeys(table["metric"])}
    for metric, by, unbinned, value in table[["metric", "by", "unbinned", "value"]].itertuples(index=False):
        values[metric][settings.index((by, unbinned))] = number(value)
    rows = [[metric, *row] for metric, row in values.items()]
    n_bins = None if bins is None else len(read_table(bins, required=("bin",)))
    return {"settings": [list(setting) for setting in settings], "rows": rows, "n_bins": n_bins}

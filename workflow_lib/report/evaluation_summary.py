"""Evaluation against a truth: the long table of metrics as one row a metric."""

from __future__ import annotations

from pathlib import Path

from workflow_lib.report.inputs import number, read_table


def evaluation_summary(metrics: str | Path) -> dict:
    """Pivot metrics.tsv (metric, by, unbinned, value).

    Returns
    -------
    {"settings": [[by, unbinned], ...], "rows": [[metric, value a setting or None, ...], ...]}; metrics in the order of
    the file, settings sorted (bp before contig, counted before ignored).

    Raises
    ------
    InputError
        when a column is missing or a value is no number.
    """
    table = read_table(metrics, required=("metric", "by", "unbinned", "value"), numeric=("value",))
    settings = sorted(dict.fromkeys(zip(table["by"], table["unbinned"], strict=True)))
    values: dict[str, list] = {metric: [None] * len(settings) for metric in dict.fromkeys(table["metric"])}
    for metric, by, unbinned, value in table[["metric", "by", "unbinned", "value"]].itertuples(index=False):
        values[metric][settings.index((by, unbinned))] = number(value)
    rows = [[metric, *row] for metric, row in values.items()]
    return {"settings": [list(setting) for setting in settings], "rows": rows}

"""The report: all samples' summaries on one HTML page that opens offline and asks for nothing over the network."""

from __future__ import annotations

import logging
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from workflow_lib import __version__
from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open
from workflow_lib.report.calibration_summary import calibration_summary
from workflow_lib.report.genomes import cluster_table
from workflow_lib.report.inputs import read_json, to_json
from workflow_lib.report.overview import overview_table, tell_run
from workflow_lib.report.story import find_warnings, tell_story
from workflow_lib.report.summary import FORMAT

logger = logging.getLogger(__name__)

_TEMPLATES = Path(__file__).parent / "templates"
# Bounds of the whole page; with many samples each gets a smaller part (about 15 MB of data at the most).
_POINTS, _BINS, _DEPTHS = 120_000, 30_000, 300_000
_LEAST_POINTS, _LEAST_BINS = 100, 20  # a sample, however many there are
_PACKAGES = ("snakemake", "numpy", "scipy", "scikit-learn", "faiss-cpu", "torch", "pysam", "plotly")
_POINT_LISTS = ("contig", "x", "y", "bin", "length", "call", "d1", "nearest")


def write_report(
    path: str | Path,
    summaries: Sequence[str | Path],
    *,
    title: str,
    configuration: dict,
    clusters: str | Path | None = None,
    calibration: str | Path | None = None,
) -> None:
    """Write the page.

    Parameters
    ----------
    path : the HTML file.
    summaries : JSON files of `write_summary`, one a sample; the page keeps their order.
    title : of the page.
    configuration : the workflow's configuration, shown at the foot.
    clusters : clusters.tsv of the dereplicate stage, if it ran.
    calibration : folder of the tables of `novelty.honesty`, where there is a reference.

    Raises
    ------
    InputError
        when a summary is missing, unreadable, or of another version of the format.
    """
    blobs, rows = [], []
    for file in summaries:
        summary = _read_summary(file)
        summary["story"], summary["warnings"] = tell_story(summary), find_warnings(summary)
        rows.append(summary)
        blobs.append(_embed(to_json(_fit(summary, len(summaries)))))
        summary.pop("map")  # the largest part; what the overview needs is small
    run = {"samples": [summary["sample"] for summary in rows], "overview": overview_table(rows)}
    run["genomes"] = None if clusters is None else cluster_table(clusters)
    run["calibration"] = calibration_summary(calibration) if calibration else None
    html = (
        _environment()
        .get_template("report.html")
        .render(
            title=title,
            story=tell_run(rows),
            samples=run["samples"],
            run=_embed(to_json(run)),
            blobs=blobs,
            plotly=_plotly(),
            version=__version__,
            versions=_versions(rows),
            configuration=_yaml(configuration),
            has_genomes=run["genomes"] is not None,
            calibration=run["calibration"],
            **_sections(rows),
        )
    )
    with atomic_open(path) as handle:
        handle.write(html)
    logger.info("%d samples on a page of %.1f MB", len(rows), len(html.encode()) / 1e6)


def _sections(rows: list[dict]) -> dict[str, bool]:
    """Which sections any of the samples fills."""
    kinds = {library["kind"] for summary in rows for library in summary["libraries"]}
    return {
        "has_reads": any(summary["reads"] for summary in rows),
        "has_mapping": not kinds.isdisjoint(("paired", "single", "long")),
        "has_libraries": bool(kinds),
        "has_novelty": any(summary["novelty"] for summary in rows),
        "has_review": any(summary["review"] for summary in rows),
        "has_truth": any(summary["evaluation"] for summary in rows),
    }


def _read_summary(path: str | Path) -> dict:
    summary = read_json(path)
    if summary.get("format") != FORMAT:
        message = f"a summary of format {summary.get('format')!r}, expected {FORMAT}"
        raise InputError(message, path=path, remedy="delete it and run again")
    return summary


def _fit(summary: dict, n_samples: int) -> dict:
    """A summary cut to its share of the page; the points and bins come first that matter most."""
    points = dict(summary["map"])
    n_points = max(_LEAST_POINTS, _POINTS // n_samples)
    for key in _POINT_LISTS:
        if points.get(key) is not None:
            points[key] = points[key][:n_points]
    bins, depth = summary["bins"], summary["depth"]
    n_bins = max(_LEAST_BINS, _BINS // n_samples)
    n_depths = _DEPTHS // n_samples // max(1, len(depth["libraries"]))
    return {
        **summary,
        "map": points,
        "bins": {"columns": bins["columns"], "rows": bins["rows"][:n_bins], "total": len(bins["rows"])},
        "depth": {"libraries": depth["libraries"], "values": depth["values"][: min(n_bins, n_depths, 60)]},
    }


def _embed(json_text: str):
    """JSON that is safe inside a script element: nothing in it can end the element or begin a comment."""
    from markupsafe import Markup

    for character in "<>&\u2028\u2029":
        json_text = json_text.replace(character, f"\\u{ord(character):04x}")
    return Markup(json_text)


def _plotly():
    """The plotting library's source, from the plotly package; it is inlined once."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())


def _environment():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip


def _versions(summaries: list[dict]) -> list[tuple[str, str]]:
    """What made the result: (name, version), the embedders and fastp as they said themselves."""
    versions = [("novabin", __version__), ("Python", platform.python_version())]
    for package in _PACKAGES:
        try:
            versions.append((package, version(package)))
        except PackageNotFoundError:
            continue
    fastp = {text for summary in summaries if summary["reads"] for text in summary["reads"]["versions"]}
    versions += [("fastp", text) for text in sorted(fastp)]
    embedders = {
        (summary["embedding"]["name"] or "unknown", summary["embedding"]["fingerprint"] or "") for summary in summaries
    }
    return versions + [("embedder " + name, fingerprint[:12]) for name, fingerprint in sorted(embedders)]


def _yaml(configuration: dict) -> str:
    import yaml

    return yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True, width=100)

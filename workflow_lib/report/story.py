"""A sample's story in short sentences, and the warnings that a reader must not miss."""

from __future__ import annotations

_KINDS = {
    "paired": "paired reads",
    "single": "single reads",
    "long": "long reads",
    "bam": "BAM",
    "depth": "depth table",
}
_METHODS = {
    "fixed": "fixed in the configuration",
    "percentile": "a percentile of the similarities in a labelled set",
    "label_free": "found without labels, from pieces of the sample's own contigs",
}
HIGH_QUALITY = (0.9, 0.05)  # completeness above, contamination below: the field's high-quality bin
MEDIUM_QUALITY = (0.5, 0.1)
_RECALL_TOLERANCE = 0.01  # as the binning warns
_LEAST_FOLD = 1.05  # of depth by GC content, below which it would be told as 1.0


def count(n: int, noun: str) -> str:
    """`n` with its noun, e.g. "1 contig", "12,345 contigs", "1 library", "2 libraries"."""
    plural = noun if n == 1 else f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{n:,} {plural}"


def base_pairs(n: int) -> str:
    """Base pairs with a unit that keeps three digits: 950 bp, 12.5 kbp, 3.02 Mbp, 1.2 Gbp."""
    for size, unit in ((1e9, "Gbp"), (1e6, "Mbp"), (1e3, "kbp")):
        if n >= size:
            return f"{float(f'{n / size:.3g}'):,g} {unit}"
    return f"{n} bp"


def share(part: float, whole: float) -> str:
    """A share in percent; a small but real one is never written as 0%, nor an incomplete one as 100%."""
    if not whole:
        return "0%"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "under 0.1%"
    if 99.9 < percent < 100:
        return "over 99.9%"
    return f"{percent:.1f}%".replace(".0%", "%")


def tell_story(summary: dict) -> list[str]:
    """The sample's story, a sentence or two a step: contigs, bins, depth and threshold, novelty, truth."""
    story = [_contigs(summary["counts"])]
    if summary["counts"]["kept"]:
        story += [
            _bins(summary["counts"]),
            _quality(summary["bins"]),
            _depth(summary["libraries"], summary["threshold"]),
            _threshold(summary["threshold"]),
            _novelty(summary["novelty"]),
        ]
    return [sentence for sentence in story if sentence]


def _contigs(counts: dict) -> str:
    if not counts["contigs"]:
        return "The sample has no contigs."
    return (
        f"{count(counts['contigs'], 'contig')} of {base_pairs(counts['bp'])} came in; "
        f"{counts['kept']:,} ({share(counts['kept_bp'], counts['bp'])} of the base pairs) passed the filter."
    )


def _bins(counts: dict) -> str:
    if not counts["bins"]:
        return "No bins were found."
    verb = "holds" if counts["bins"] == 1 else "hold"
    return (
        f"{count(counts['bins'], 'bin')} {verb} {count(counts['binned'], 'contig')} "
        f"of {base_pairs(counts['binned_bp'])}: {share(counts['binned'], counts['kept'])} of the contigs that passed, "
        f"{share(counts['binned_bp'], counts['kept_bp'])} of their base pairs."
    )


def _quality(bins: dict) -> str:
    high, medium = (count_good(bins, level, prefix="marker_") for level in (HIGH_QUALITY, MEDIUM_QUALITY))
    if not bins["rows"] or high is None:
        return ""
    verb = "is" if high == 1 else "are"
    return (
        f"By their genes {high} of the bins {verb} over 90% complete and under 5% contaminated, "
        f"{medium} over 50% and under 10%."
    )


def count_good(bins: dict, level: tuple[float, float], *, prefix: str = "") -> int | None:
    """Bins more complete and less contaminated than a level; None where the table has no such columns.

    Parameters
    ----------
    bins : {"columns", "rows"} of a summary.
    level : completeness and contamination, shares.
    prefix : of the two columns: "" for those of the truth, "marker_" for those of marker genes.
    """
    keys = [column["key"] for column in bins["columns"]]
    wanted = f"{prefix}completeness", f"{prefix}contamination"
    if not set(wanted) <= set(keys):
        return None
    at = [keys.index(key) for key in wanted]
    values = ([row[i] for i in at] for row in bins["rows"])
    return sum(None not in pair and pair[0] > level[0] and pair[1] < level[1] for pair in values)


def _depth(libraries: list[dict], threshold: dict) -> str:
    if not libraries:
        return "No library gives depth: contigs were binned by composition alone."
    shown = [f"{library['name']} ({_KINDS.get(library['kind'], library['kind'])})" for library in libraries[:4]]
    rest = f" and {len(libraries) - 4} more" if len(libraries) > 4 else ""
    parts = ""
    if threshold["depth_share"]:
        parts = (
            f" It makes up {share(threshold['depth_share'], 1)} of the similarity of two contigs, composition the rest."
        )
    library, fold = max(threshold["gc_folds"].items(), key=lambda item: item[1], default=("", 1.0))
    if fold >= _LEAST_FOLD:
        parts += f" GC content changes it up to {fold:.1f}-fold ({library}); that was taken off before binning."
    return f"Depth comes from {count(len(libraries), 'library')}: {', '.join(shown)}{rest}.{parts}"


def _threshold(threshold: dict) -> str:
    if threshold["value"] is None:
        return ""
    method = _METHODS.get(threshold["method"], threshold["method"])
    sentence = f"Contigs join a bin at a similarity of {threshold['value']:.3g} or more, {method}"
    if threshold["share"] is not None:
        can_bin = share(threshold["share"], 1)
        sentence += f"; {can_bin} of the contigs have enough others that near, or are long enough alone, for a bin"
    if found := threshold["neighbours"]:
        sentence += (
            f". Only contigs near each other were compared, {share(found['compared'], 1)} of all pairs; "
            f"{share(found['recall'], 1)} of the neighbours of {count(found['n_sampled'], 'contig')} were among them"
        )
    if relatives := threshold["relatives"]:
        sentence += (
            f". {count(relatives['contigs'], 'contig')} have a relative in the reference, {relatives['sure']:,} of "
            "them are surely of one of its species: that too told which contigs belong together"
        )
    return f"{sentence}."


def _novelty(novelty: dict | None) -> str:
    if novelty is None:
        return ""
    contigs, bins = novelty["counts"]["contigs"], novelty["counts"]["bins"]
    level = f" at a false discovery rate of {share(novelty['alpha'], 1)}" if novelty["alpha"] is not None else ""
    return (
        f"Against the reference{level}, {count(bins['novel'], 'bin')} and {count(contigs['novel'], 'contig')} "
        f"are novel; {count(bins['known'], 'bin')} and {count(contigs['known'], 'contig')} are known. "
        f"For {count(bins['ambiguous'], 'bin')} and {count(contigs['ambiguous'], 'contig')} the data do not decide; "
        f"{count(bins['no call'], 'bin')} and {count(contigs['no call'], 'contig')} cannot be tested."
    )


def find_warnings(summary: dict) -> list[str]:
    """What is off or limits the result, most serious first; each says what it means and what to do."""
    counts, threshold, warnings = summary["counts"], summary["threshold"], _duplicate_warnings(summary)
    if not counts["contigs"]:
        warnings.append("The contigs file is empty: there is nothing to bin. Check the assembly.")
    elif not counts["kept"]:
        warnings.append(
            "No contig passed the filter, so there is nothing to bin. See the filter statuses below; "
            "filter.min_length and filter.max_n_fraction decide."
        )
    elif not counts["bins"]:
        reason = threshold["zero_reason"] or "no group of contigs is similar and large enough"
        warnings.append(f"Zero bins: {reason.rstrip('.')}.")
    elif counts["binned_bp"] < 0.2 * counts["kept_bp"]:
        warnings.append(
            f"Only {share(counts['binned_bp'], counts['kept_bp'])} of the base pairs that passed are in a bin. "
            "The threshold may be too strict for this sample, or its genomes too fragmented."
        )
    if threshold["note"]:
        warnings.append(f"Threshold: {threshold['note'].rstrip('.')}.")
    found = threshold["neighbours"]
    if found and found["recall"] < found["wanted"] - _RECALL_TOLERANCE:
        warnings.append(
            f"Only {share(found['recall'], 1)} of the contigs within the threshold of each other were compared, "
            f"{share(found['wanted'], 1)} were asked for: bins may be torn. Raise bin.neighbours_recall or "
            "bin.neighbours_from."
        )
    if counts["kept"] and not summary["libraries"]:
        warnings.append(
            "Composition only: without libraries, close relatives share a bin more often. "
            "Reads of several samples (config: libraries) separate them."
        )
    elif counts["kept"] and threshold["depth_share"] == 0:
        warnings.append(
            "There are libraries, but depth did not enter the binning: bin.depth_weight is 0, it says nothing, or the "
            "threshold was made for embeddings alone."
        )
    return warnings + _novelty_warnings(summary) + _read_warnings(summary)


def _duplicate_warnings(summary: dict) -> list[str]:
    found = next((row for row in summary["statuses"] if row["status"] == "duplicate_name"), None)
    if not found or not found["contigs"]:
        return []
    return [
        f"{count(found['contigs'], 'contig')} of {base_pairs(found['bp'])} have the name of an earlier one and were "
        "left out. A name ends at the first blank: where names differ only behind it, replace the blanks."
    ]


def _novelty_warnings(summary: dict) -> list[str]:
    novelty = summary["novelty"]
    if novelty is None:
        return ["Novelty is off: no reference table is configured (config: reference)."]
    total = sum(novelty["counts"]["contigs"].values())
    if total and novelty["counts"]["contigs"]["no call"] > 0.5 * total:
        main = f", mostly because: {novelty['abstain'][0][0]}" if novelty["abstain"] else ""
        undecided = share(novelty["counts"]["contigs"]["no call"], total)
        return [f"No novelty call is made for {undecided} of the contigs{main}."]
    return []


def _read_warnings(summary: dict) -> list[str]:
    if summary["reads"] is None:
        return []
    keys = [column["key"] for column in summary["reads"]["columns"]]
    warnings = []
    for row in summary["reads"]["rows"]:
        values = dict(zip(keys, row, strict=True))
        if not values["reads_in"]:
            warnings.append(f"Library {values['library']} has no reads.")
        elif values["kept"] < 0.5:
            warnings.append(
                f"Library {values['library']}: only {share(values['kept'], 1)} of the reads passed the filter."
            )
    return warnings

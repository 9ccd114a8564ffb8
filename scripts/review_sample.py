"""Judge the bins that were given with a sample: contigs that do not belong, bins to split, pairs to merge."""

from pathlib import Path

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from workflow_lib.review.stage import ReviewInputs, ReviewOptions, review_sample

    files = snakemake.input
    review_sample(
        ReviewInputs(
            bins=files.bins,
            contigs=files.contigs,
            status=files.status,
            embeddings=Path(files.manifest).parent,
            pieces=files.pieces,
            depth=files.depth or None,
        ),
        ReviewOptions(**snakemake.params.options),
        **dict(snakemake.output.items()),
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

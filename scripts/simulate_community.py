"""Simulate a community from evolved or given genomes, with its truth and the tables to run novabin on it."""

from workflow_lib.log import run_script


def main(snakemake) -> None:
    from pathlib import Path

    from workflow_lib.simulate.community import simulate_community
    from workflow_lib.simulate.dataset import draw_genomes, evolve_community_and_reference, write_dataset
    from workflow_lib.tables import load_reference

    options = snakemake.params.options
    seed = options["seed"]
    reference = user_reference = None
    if snakemake.input.genomes:
        genomes = draw_genomes(load_reference(snakemake.input.genomes), n_genomes=options["n_genomes"], seed=seed)
        if snakemake.input.reference:
            table = load_reference(snakemake.input.reference)
            user_reference = (snakemake.input.reference, [genome.taxonomy for genome in table.values()])
    else:
        genomes, reference = evolve_community_and_reference(
            n_genomes=options["n_genomes"],
            n_reference=options["n_reference"],
            genome_length=options["genome_length"],
            seed=seed,
        )
    community = simulate_community(
        genomes,
        n_libraries=options["n_libraries"],
        mean_depth=options["mean_depth"],
        contig_median=options["contig_median"],
        contig_sigma=options["contig_sigma"],
        seed=seed,
    )
    write_dataset(
        Path(snakemake.output.config).parent,
        community,
        reference=reference,
        user_reference=user_reference,
        read_pairs=options["read_pairs"],
        seed=seed,
    )


if "snakemake" in globals():
    run_script(main, snakemake)  # noqa: F821

"""A simulated data set as files: contigs, reads or depth, reference, truth, tables and a configuration to run them."""

from __future__ import annotations

import logging
from pathlib import Path

from workflow_lib.contig2bin import write_bioboxes
from workflow_lib.errors import InputError
from workflow_lib.fasta import read_fasta, write_fasta
from workflow_lib.files import atomic_open, atomic_path
from workflow_lib.simulate.community import Community, gc_content
from workflow_lib.simulate.evolve import SimulatedGenome, evolve_genomes
from workflow_lib.simulate.lineages import community_lineages, novelty_rank, reference_lineages
from workflow_lib.simulate.reads import write_read_pairs
from workflow_lib.simulate.streams import random_stream
from workflow_lib.tables import Genome
from workflow_lib.taxonomy import format_taxonomy

logger = logging.getLogger(__name__)

SAMPLE = "simulated"


def evolve_community_and_reference(
    *, n_genomes: int, n_reference: int, genome_length: int, seed: int
) -> tuple[list[SimulatedGenome], list[SimulatedGenome]]:
    """Evolve the genomes of a community and of a reference, of one tree.

    Of the community, two in five are further strains of reference species (known), one in five a new species, genus
    and phylum each (`lineages.NOVELTY_CYCLE`). No genome is in both.
    """
    reference = reference_lineages(n_reference)
    community = community_lineages(reference, n_genomes, random_stream(seed, "lineages"))
    genomes = evolve_genomes(community + reference, genome_length=genome_length, seed=seed)
    return genomes[:n_genomes], genomes[n_genomes:]


def draw_genomes(table: dict[str, Genome], *, n_genomes: int, seed: int) -> list[SimulatedGenome]:
    """Read `n_genomes` genomes drawn at random from a table (as `tables.load_reference` gives it), in table order.

    Raises
    ------
    InputError
        when the table has fewer genomes, or a FASTA file cannot be read.
    """
    if n_genomes > len(table):
        raise InputError(
            f"{n_genomes} genomes were asked for, but their table has {len(table)} genomes",
            remedy="ask for fewer genomes or add some to the table",
        )
    rng = random_stream(seed, "genomes")
    drawn = sorted(rng.choice(len(table), size=n_genomes, replace=False))
    rows = [list(table.values())[i] for i in drawn]
    return [
        SimulatedGenome(row.name, tuple(record.sequence for record in read_fasta(row.fasta)), row.taxonomy)
        for row in rows
    ]


def write_reference(folder: Path, genomes: list[SimulatedGenome], *, table: Path, comment: str = "") -> None:
    """Write reference/{genome}.fa.gz under `folder`, all at once, and the table that names them."""
    with atomic_path(folder / "reference") as temporary:
        temporary.mkdir()
        for genome in genomes:
            names = [f"{genome.name}_{i + 1}" for i in range(len(genome.sequences))]
            write_fasta(temporary / f"{genome.name}.fa.gz", zip(names, genome.sequences, strict=True))
    rows = [
        (genome.name, folder / "reference" / f"{genome.name}.fa.gz", format_taxonomy(genome.taxonomy))
        for genome in genomes
    ]
    _write_table(table, ("genome_id", "fasta", "taxonomy"), rows, comment=comment)
    logger.info("wrote %d reference genomes, %.2f Mbp", len(genomes), sum(genome.length for genome in genomes) / 1e6)


def write_contigs(folder: Path, community: Community) -> None:
    """Write contigs.fa.gz and depth/{library}.tsv: contig, length, depth and its variance."""
    write_fasta(folder / "contigs.fa.gz", ((contig.name, contig.sequence) for contig in community.contigs))
    depth = community.depth
    for i, library in enumerate(community.libraries):
        rows = [
            (contig.name, len(contig.sequence), f"{depth[row, i]:.6g}", f"{community.variance[row, i]:.6g}")
            for row, contig in enumerate(community.contigs)
        ]
        _write_table(folder / "depth" / f"{library}.tsv", ("contig", "length", library, f"{library}-var"), rows)


def write_reads(folder: Path, community: Community, *, seed: int) -> None:
    """Write reads/{library}_R1.fastq.gz and _R2.fastq.gz for every library."""
    for i, library in enumerate(community.libraries):
        write_read_pairs(_read_paths(folder, library), community, library=i, seed=seed)


def _read_paths(folder: Path, library: str) -> tuple[Path, Path]:
    return folder / "reads" / f"{library}_R1.fastq.gz", folder / "reads" / f"{library}_R2.fastq.gz"


def write_truth(folder: Path, community: Community, reference: list[dict[str, str]]) -> None:
    """Write truth/contigs.tsv, genomes.tsv and gold_standard.binning (CAMI bioboxes with LENGTH).

    `reference` holds the lineages of the reference genomes; where it is empty, so is the novelty.
    """
    genomes = community.genomes
    novelty = [novelty_rank(genome.taxonomy, reference) if reference else "" for genome in genomes]
    rows = [
        (
            *(contig.name, genomes[contig.genome].name, len(contig.sequence), novelty[contig.genome]),
            *(contig.source + 1, contig.start, contig.end, "-" if contig.reverse else "+"),
        )
        for contig in community.contigs
    ]
    columns = ("contig", "genome", "length", "novelty", "sequence", "start", "end", "strand")
    _write_table(folder / "truth" / "contigs.tsv", columns, rows)
    rows = [
        (
            *(genome.name, genome.length, f"{gc_content(genome.sequences):.6g}", novelty[i]),
            *(format_taxonomy(genome.taxonomy), *(f"{depth:.6g}" for depth in community.abundance[i])),
        )
        for i, genome in enumerate(genomes)
    ]
    columns = ("genome", "length", "gc", "novelty", "taxonomy", *community.libraries)
    _write_table(folder / "truth" / "genomes.tsv", columns, rows)
    write_bioboxes(
        folder / "truth" / "gold_standard.binning",
        {contig.name: genomes[contig.genome].name for contig in community.contigs},
        sample=SAMPLE,
        lengths={contig.name: len(contig.sequence) for contig in community.contigs},
    )


def write_tables(folder: Path, community: Community, *, tables: Path, read_pairs: bool, comment: str = "") -> None:
    """Write samples.tsv and libraries.tsv, which names the reads or else the depth tables, under `tables`."""
    row = (SAMPLE, folder / "contigs.fa.gz", SAMPLE, folder / "truth" / "contigs.tsv")
    _write_table(tables / "samples.tsv", ("sample", "contigs", "group", "truth"), [row], comment=comment)
    if read_pairs:
        columns = ("library", "group", "reads_1", "reads_2")
        rows = [(library, SAMPLE, *_read_paths(folder, library)) for library in community.libraries]
    else:
        columns = ("library", "group", "depth")
        rows = [(library, SAMPLE, folder / "depth" / f"{library}.tsv") for library in community.libraries]
    _write_table(tables / "libraries.tsv", columns, rows, comment=comment)


def write_config(folder: Path, *, reference: str | None) -> None:
    """Write config.yaml: what differs from the default configuration; results go to run/ beside it."""
    import yaml

    run = folder / "run"
    content = {
        "samples": str(folder / "samples.tsv"),
        "libraries": str(folder / "libraries.tsv"),
        "reference": reference,
        "pathvars": {"results": str(run), **{name: str(run / name) for name in ("logs", "benchmarks", "resources")}},
    }
    with atomic_open(folder / "config.yaml") as handle:
        handle.write("# The simulated data set; what is not here comes from config/config.yaml.\n")
        yaml.safe_dump(content, handle, sort_keys=False)


def _write_table(path: Path, columns: tuple[str, ...], rows: list[tuple], *, comment: str = "") -> None:
    with atomic_open(path) as handle:
        handle.write((f"# {comment}\n" if comment else "") + "\t".join(columns) + "\n")
        handle.writelines("\t".join(map(str, row)) + "\n" for row in rows)


def write_dataset(
    folder: str | Path,
    community: Community,
    *,
    reference: list[SimulatedGenome] | None,
    user_reference: tuple[str, list[dict[str, str]]] | None = None,
    read_pairs: bool,
    seed: int,
) -> None:
    """Write a community and everything else that is needed to run novabin on it; config.yaml comes last.

    Parameters
    ----------
    folder : where to write; the tables hold paths that begin with it.
    community : of `simulate_community`.
    reference : genomes to write as the reference, or None.
    user_reference : instead, path and lineages of a reference table that is there already.
    read_pairs : write reads; else the libraries are depth tables.
    seed : random seed of the reads.
    """
    folder = Path(folder)
    reference_path, lineages = user_reference or (None, [])
    if reference is not None:
        reference_path, lineages = str(folder / "reference.tsv"), [genome.taxonomy for genome in reference]
        write_reference(folder, reference, table=folder / "reference.tsv")
    write_contigs(folder, community)
    write_truth(folder, community, lineages)
    if read_pairs:
        write_reads(folder, community, seed=seed)
    write_tables(folder, community, tables=folder, read_pairs=read_pairs)
    write_config(folder, reference=reference_path)

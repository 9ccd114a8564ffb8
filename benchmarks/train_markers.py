"""Learn the table of marker genes that novabin ships.

python benchmarks/train_markers.py genomes.tsv whole.tsv --seed-genome ID

Both tables are as reference.tsv (genome_id, fasta, taxonomy). `whole.tsv` names whole genomes: in these the families
are found, as the genes of the seed genome, a small one, that nearly all bacteria among them have once. `genomes.tsv`
names the genomes whose genes teach the k-mers; parts of genomes do. Needs pyrodigal and mmseqs (MMseqs2). Genomes of
one genus (of one species, where it has no name) are on the same side when thresholds are chosen.
"""

import argparse
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import pandas as pd
import pyrodigal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workflow_lib.fasta import read_fasta
from workflow_lib.markers.table import MarkerTable, save_table
from workflow_lib.markers.training import (
    Member,
    build_table,
    choose_thresholds,
    count_codes,
    mark_archaeal,
    measure,
)

HIT = ["query", "target", "evalue", "bits", "qcov", "tcov"]
E_VALUE, COVERAGE = 1e-8, 0.5
LEAST_SINGLE, MOST_DOUBLE = 0.93, 0.07  # share of the whole bacteria that have a family once, more than once
LEAST_SEEDS = 200  # families of the seed genome that a whole genome has, to be taken for complete
LEAST_BITS = 0.4  # of the median of a family
FOLDS = 2


def find_genes(task: tuple[str, str, Path]) -> None:
    """Write the proteins of a genome as <genome>|<number of the contig>|<start>|<end>|<strand>."""
    genome, fasta, path = task
    if path.exists():
        return
    sequences = [record.sequence for record in read_fasta(fasta)]
    finder = pyrodigal.GeneFinder()
    finder.train(*sequences)
    lines = []
    for number, sequence in enumerate(sequences):
        for gene in finder.find_genes(sequence):
            name = f"{genome}|{number}|{gene.begin}|{gene.end}|{'+' if gene.strand > 0 else '-'}"
            lines.append(f">{name}\n{gene.translate(include_stop=False)}\n")
    partial = path.with_suffix(".partial")
    partial.write_text("".join(lines))
    partial.rename(path)


def proteins_of(table: pd.DataFrame, folder: Path, threads: int) -> Path:
    """All proteins of some genomes in one file."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [(row.genome_id, row.fasta, folder / f"{row.genome_id}.faa") for row in table.itertuples()]
    with Pool(threads) as pool:
        pool.map(find_genes, tasks, chunksize=1)
    together = folder.with_suffix(".faa")
    together.write_text("".join(path.read_text() for _, _, path in tasks))
    return together


def search(queries: Path, targets: Path, output: Path, *options: str) -> pd.DataFrame:
    """Hits of MMseqs2 that cover half of both proteins, the best query of every target."""
    if not output.exists():
        shape = ["--format-output", ",".join(HIT), "-v", "1"]
        scratch = output.with_suffix(".tmp")
        subprocess.run(["mmseqs", "easy-search", queries, targets, output, scratch, *options, *shape], check=True)
    hits = pd.read_csv(output, sep="\t", names=HIT)
    hits = hits[(hits["evalue"] < E_VALUE) & (hits["qcov"] > COVERAGE) & (hits["tcov"] > COVERAGE)]
    hits = hits.sort_values(["bits", "query"], ascending=[False, True], kind="stable").drop_duplicates("target")
    return hits.assign(genome=hits["target"].str.split("|").str[0])


def choose_families(hits: pd.DataFrame, whole: pd.DataFrame) -> list[str]:
    """Genes of the seed genome that nearly every complete bacterium has once."""
    counts = pd.crosstab(hits["query"], hits["genome"])
    bacteria = whole.loc[whole["taxonomy"].str.startswith("d__Bacteria"), "genome_id"]
    counts = counts[[genome for genome in bacteria if genome in counts and (counts[genome] > 0).sum() >= LEAST_SEEDS]]
    print(f"{counts.shape[1]} complete bacteria")
    single = ((counts == 1).mean(axis=1) >= LEAST_SINGLE) & ((counts > 1).mean(axis=1) <= MOST_DOUBLE)
    return sorted(counts.index[single], key=lambda name: [int(part) for part in name.split("|")[1:3]])


def read_proteins(paths: list[Path], wanted: set[str]) -> dict[str, str]:
    """Proteins by name."""
    return {
        name: protein
        for path in paths
        for name, _, protein in (entry.partition("\n") for entry in path.read_text()[1:].split("\n>"))
        if name in wanted
    }


def members_of(hits: pd.DataFrame, families: dict[str, int], proteins: dict[str, str]) -> list[Member]:
    """The best gene of every family and genome."""
    hits = hits.assign(family=hits["query"].map(families)).sort_values("bits", ascending=False, kind="stable")
    hits = hits[hits["bits"] > LEAST_BITS * hits.groupby("family")["bits"].transform("median")]
    members = []
    for row in hits.drop_duplicates(["genome", "family"]).itertuples():
        genome, number, start, end, strand = row.target.split("|")
        members.append(Member(genome, row.family, number, int(start), int(end), strand, proteins[row.target].strip()))
    return members


def contigs_of(table: pd.DataFrame) -> Iterator[tuple[str, str, bytes]]:
    """Genome, number of the contig, sequence."""
    for row in table.itertuples():
        for number, record in enumerate(read_fasta(row.fasta)):
            yield row.genome_id, str(number), record.sequence


def learn(members: list[Member], table: pd.DataFrame, names: list[str]) -> MarkerTable:
    """A table of the members that are of these genomes."""
    genomes = set(table["genome_id"])
    background = count_codes(sequence for _, _, sequence in contigs_of(table))
    return build_table([member for member in members if member.genome in genomes], background, names)


def main() -> None:
    """Find families, their genes, their k-mers, and thresholds; write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genomes", type=Path)
    parser.add_argument("whole", type=Path)
    parser.add_argument("--seed-genome", required=True, help="genome_id in whole.tsv")
    parser.add_argument("--work", type=Path, default=Path("train_markers"), help="folder of what is found on the way")
    parser.add_argument("--output", type=Path, default=Path("workflow_lib/weights/markers"))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    read = {"sep": "\t", "dtype": str, "keep_default_na": False}
    genomes, whole = pd.read_csv(arguments.genomes, **read), pd.read_csv(arguments.whole, **read)
    if not genomes["taxonomy"].str.startswith("d__Archaea").any():
        parser.error(f"{arguments.genomes} has no archaea: which families they have is learned from them")
    work, threads = arguments.work, ("--threads", str(arguments.threads))
    whole_proteins = proteins_of(whole, work / "whole", arguments.threads)
    all_proteins = proteins_of(genomes, work / "genomes", arguments.threads)
    seeds = work / "whole" / f"{arguments.seed_genome}.faa"
    deep = ("-s", "6", "--num-iterations", "2", "--e-profile", "1e-10", "-e", "1e-5", "--max-seqs", "200")
    hits = search(seeds, whole_proteins, work / "seeds.tsv", *deep, *threads)
    families = choose_families(hits, whole)
    names = [f"scg_{number:03d}" for number in range(1, len(families) + 1)]
    print(f"{len(families)} families")
    hits = hits[hits["query"].isin(families)]
    family_of = dict(zip(hits["target"], hits["query"].map({seed: i for i, seed in enumerate(families)}), strict=True))
    proteins = read_proteins([whole_proteins], set(family_of))
    queries = work / "members.faa"
    queries.write_text("".join(f">{name}\n{proteins[name].strip()}\n" for name in sorted(proteins)))
    broad = ("-s", "3", "-e", "1e-8", "--max-seqs", "1000")
    hits = search(queries, all_proteins, work / "members.tsv", *broad, *threads)
    members = members_of(hits, family_of, read_proteins([all_proteins], set(hits["target"])))
    per_genome = Counter(member.genome for member in members)
    print(f"{len(members)} genes in {len(per_genome)} of {len(genomes)} genomes")
    table, facts = evaluate(members, genomes, names)
    save_table(arguments.output, table, facts)


def evaluate(members: list[Member], genomes: pd.DataFrame, names: list[str]) -> tuple[MarkerTable, dict]:
    """The table of all genomes with thresholds from tables that each saw half of the genera, and what these found."""
    genus = genomes["taxonomy"].str.extract(r"g__([^;]*)")[0].fillna("")
    group = genus.where(genus != "", genomes["taxonomy"].str.extract(r"s__([^;]*)")[0])
    order = {name: number for number, name in enumerate(sorted(group.unique()))}
    fold = group.map(order) % FOLDS
    true, false, n_bp = [], [], 0
    for held_out in range(FOLDS):
        table = learn(members, genomes[fold != held_out], names)
        part = genomes[fold == held_out]
        genes = [member for member in members if member.genome in set(part["genome_id"])]
        one_true, one_false, bp = measure(table, contigs_of(part), genes)
        true.append(one_true)
        false.append(one_false)
        n_bp += bp
    table, found, wrong = choose_thresholds(
        learn(members, genomes, names), np.concatenate(true), np.concatenate(false), n_bp
    )
    archaea = genomes[genomes["taxonomy"].str.startswith("d__Archaea")]
    table = mark_archaeal(table, contigs_of(archaea))
    for name, share, rate, archaeal in zip(table.families, found, wrong, table.archaeal, strict=True):
        print(f"{name}\t{share:.3f}\t{rate:.3f}\t{'yes' if archaeal else 'no'}")
    facts = {
        "genomes": len(genomes),
        "archaea": len(archaea),
        "genes_found_in_other_genera": round(float(found.mean()), 4),
        "false_genes_in_3_Mbp": round(float(wrong.sum()), 3),
    }
    print(f"{len(table.families)} families, {len(table.codes)} k-mers; {facts}")
    return table, facts


if __name__ == "__main__":
    main()

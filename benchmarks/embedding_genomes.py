"""Write a table of genomes to train on or to measure at: python benchmarks/embedding_genomes.py genomes.tsv

The output is as reference.tsv. The input is a TSV with the columns genome_id, genus, phylum, domain, ani95_cluster
(which stands for the species) and, for --held-out, held_out_at; the FASTA files lie beside it in a folder of its name,
as <genome_id>.fa.gz.
"""

import argparse
from pathlib import Path

import pandas as pd


def main() -> None:
    """Choose the genomes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--held-out", nargs="+", help="keep only these values of held_out_at, such as genus phylum")
    parser.add_argument("--one-per-genus", action="store_true", help="one species of every genus")
    parser.add_argument(
        "--all", action="store_true", help="every genome, as in the table, to train on; else one a species"
    )
    parser.add_argument("--n", type=int, help="species kept, at random (with --all: genomes, the first)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    table = pd.read_csv(arguments.table, sep="\t", dtype=str, keep_default_na=False)
    if arguments.held_out:
        table = table[table["held_out_at"].isin(arguments.held_out)]
    if not arguments.all:
        table = table.drop_duplicates("ani95_cluster").sample(frac=1, random_state=arguments.seed)
    if arguments.one_per_genus:
        # A genome whose genus has no name counts as a genus of its own.
        genus = table["genus"].where(table["genus"] != "", table["ani95_cluster"])
        table = table[~genus.duplicated()]
    folder = arguments.table.with_suffix("").resolve()
    print("genome_id\tfasta\ttaxonomy")
    for row in table.head(arguments.n or len(table)).itertuples():
        lineage = f"d__{row.domain};p__{row.phylum};g__{row.genus};s__{row.ani95_cluster}"
        print(f"{row.genome_id}\t{folder / row.genome_id}.fa.gz\t{lineage}")


if __name__ == "__main__":
    main()

"""Genomes of random composition, which a model learns to tell apart in a moment, and their table."""

from pathlib import Path

import numpy as np

from workflow_lib.fasta import reverse_complement, write_fasta
from workflow_lib.taxonomy import format_taxonomy


def write_genomes(folder: Path, *, n_species: int = 24, length: int = 6000, seed: int = 0) -> Path:
    """reference.tsv of genomes, two species a genus, each of three words of its own and their reverse complements."""
    rng = np.random.default_rng(seed)
    rows = ["genome_id\tfasta\ttaxonomy"]
    for i in range(n_species):
        words = ["".join(rng.choice(list("ACGT"), 5)).encode() for _ in range(3)]
        words += [reverse_complement(word) for word in words]  # both strands look alike
        sequence = b"".join(rng.choice(words, length // 5))
        path = folder / f"genome_{i}.fa.gz"
        half = len(sequence) // 2
        write_fasta(path, [(f"g{i}_1", sequence[:half]), (f"g{i}_2", sequence[half:])])
        taxonomy = format_taxonomy({"genus": f"Genus{i // 2}", "species": f"Genus{i // 2} species{i}"})
        rows.append(f"genome_{i}\t{path}\t{taxonomy}")
    table = folder / "genomes.tsv"
    table.write_text("\n".join(rows) + "\n")
    return table

"""Made-up protein families: HMMs of them, and genomes that hold one gene of each."""

import numpy as np
import pyhmmer

CODONS = {
    "A": "GCG", "C": "TGC", "D": "GAT", "E": "GAA", "F": "TTT", "G": "GGC", "H": "CAT", "I": "ATT", "K": "AAA",
    "L": "CTG", "M": "ATG", "N": "AAC", "P": "CCG", "Q": "CAG", "R": "CGT", "S": "AGC", "T": "ACC", "V": "GTG",
    "W": "TGG", "Y": "TAT",
}  # fmt: skip
AMINO_ACIDS = np.array(list(CODONS))
N_FAMILIES, LENGTH = 12, 180


def random_protein(seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(AMINO_ACIDS, LENGTH))


def relative(protein: str, seed: int, *, rate: float = 0.2) -> str:
    """The protein with a share of its amino acids replaced."""
    rng = np.random.default_rng(seed)
    letters = np.array(list(protein))
    changed = rng.random(len(letters)) < rate
    letters[changed] = rng.choice(AMINO_ACIDS, changed.sum())
    return "".join(letters)


def write_hmms(path, *, gathering: float | None = None, n_families: int = N_FAMILIES) -> list[str]:
    """Write an HMM a family, built from ten relatives; return their names."""
    alphabet = pyhmmer.easel.Alphabet.amino()
    builder, background = pyhmmer.plan7.Builder(alphabet), pyhmmer.plan7.Background(alphabet)
    names = []
    with open(path, "wb") as handle:
        for family in range(n_families):
            protein = random_protein(family)
            rows = [
                pyhmmer.easel.TextSequence(name=f"s{i}", sequence=relative(protein, 100 * family + i))
                for i in range(10)
            ]
            alignment = pyhmmer.easel.TextMSA(name=f"family{family}", sequences=rows)
            hmm, _, _ = builder.build_msa(alignment.digitize(alphabet), background)
            if gathering is not None:
                hmm.cutoffs.gathering = (gathering, gathering)
            hmm.write(handle)
            names.append(f"family{family}")
    return names


def gene(family: int, seed: int) -> str:
    """A gene of a family with a ribosome binding site and a stop codon."""
    protein = relative(random_protein(family), seed)
    return "TAAAGGAGGTTTACC" + "ATG" + "".join(CODONS[letter] for letter in protein) + "TAATAGTGA"


def genome(seed: int, families=range(N_FAMILIES), *, n_contigs: int = 6) -> list[str]:
    """Contigs with the genes of the families, in random sequence of the genome's own composition."""
    rng = np.random.default_rng(1000 + seed)
    shares = rng.dirichlet([8] * 4)
    contigs = ["" for _ in range(n_contigs)]
    for at, family in enumerate(families):
        spacer = "".join(rng.choice(list("ACGT"), 800, p=shares))
        contigs[at % n_contigs] += spacer + gene(family, 10_000 * seed + family)
    return [contig + "".join(rng.choice(list("ACGT"), 800, p=shares)) for contig in contigs]

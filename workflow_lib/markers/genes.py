"""Marker genes of contigs: genes by pyrodigal, families by the HMMs of a file that the user names."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from workflow_lib.errors import InputError, ToolError
from workflow_lib.fasta import Record, batch_records, read_fasta
from workflow_lib.markers.counts import MarkerGene, write_marker_tables

_BATCH_BP = 20_000_000  # contigs whose proteins are held at a time
_DATABASE_SIZE = 10_000  # proteins that E-values are stated for, whatever the batch: about three genomes
_CUTOFFS = ("gathering", "trusted")  # bit scores of an HMM, the first one that it has


def find_hmm_markers(
    contigs: str | Path,
    hmms: str | Path,
    *,
    genes_table: str | Path,
    families_table: str | Path,
    e_value: float = 1e-10,
    threads: int = 1,
) -> int:
    """Find the marker genes of a FASTA file; write a row a gene and a row a family, in that order.

    Parameters
    ----------
    contigs : FASTA.
    hmms : profiles of protein families in HMMER's format, one or many.
    genes_table : markers/{sample}/contigs.tsv, see docs/output.md.
    families_table : markers/{sample}/families.tsv; written last.
    e_value : of families without a gathering or trusted cutoff, in a search of 10,000 proteins.
    threads : for genes and for the search; the result does not depend on it.

    Returns
    -------
    The number of genes found.

    Raises
    ------
    InputError
        when the HMMs cannot be read, are not of proteins, or two have one name.
    ToolError
        when pyrodigal or pyhmmer is not installed.
    """
    families = _read_hmms(hmms)
    cutoffs = [_cutoff(hmm) for hmm in families]
    values = [getattr(hmm.cutoffs, kind)[0] if kind else e_value for hmm, kind in zip(families, cutoffs, strict=True)]
    rows = [
        (hmm.name, kind or "e_value", value, None) for hmm, kind, value in zip(families, cutoffs, values, strict=True)
    ]
    genes = (
        gene
        for batch in batch_records(read_fasta(contigs), _BATCH_BP)
        for gene in _search(batch, families, e_value, threads)
    )
    return write_marker_tables(genes, rows, genes_table=genes_table, families_table=families_table)


def _import(name: str):
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise ToolError(
            f"{name} is not installed, but markers.method is hmm\n"
            "  To mend it: run with --sdm conda, install it, or set markers.method to kmers or none"
        ) from error


def _read_hmms(path: str | Path) -> list:
    pyhmmer = _import("pyhmmer")
    if not Path(path).is_file():
        raise InputError("no such file", path=path, remedy="correct markers.hmm in the configuration")
    try:
        with pyhmmer.plan7.HMMFile(str(path)) as file:
            families = list(file)
    except (ValueError, OSError, EOFError) as error:
        remedy = "give profiles in HMMER3's text format"
        raise InputError(f"cannot be read as HMMs ({error})", path=path, remedy=remedy) from error
    if not families:
        raise InputError("has no HMM", path=path, remedy="give profiles in HMMER3's text format")
    names = [hmm.name for hmm in families]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two HMMs are called {twice!r}", path=path, remedy="leave one of them out")
    if any(not hmm.alphabet.is_amino() for hmm in families):
        raise InputError("has HMMs of nucleotides, expected proteins", path=path)
    return families


def _cutoff(hmm) -> str | None:
    return next((kind for kind in _CUTOFFS if getattr(hmm.cutoffs, f"{kind}_available")()), None)


def _search(records: list[Record], families: list, e_value: float, threads: int) -> list[MarkerGene]:
    """Marker genes of some contigs, in their order; a gene belongs to the family of the highest score."""
    pyhmmer, pyrodigal = _import("pyhmmer"), _import("pyrodigal")
    finder = pyrodigal.GeneFinder(meta=True)
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda record: finder.find_genes(record.sequence), records))
    alphabet = pyhmmer.easel.Alphabet.amino()
    proteins, genes = [], []
    for record, of_contig in zip(records, found, strict=True):
        for gene in of_contig:
            sequence = gene.translate(include_stop=False)
            proteins.append(pyhmmer.easel.TextSequence(name=str(len(genes)), sequence=sequence).digitize(alphabet))
            genes.append((record.name, gene.begin, gene.end, "+" if gene.strand > 0 else "-"))
    best: dict[int, tuple[float, str]] = {}
    block = pyhmmer.easel.DigitalSequenceBlock(alphabet, proteins)
    for kind in (*_CUTOFFS, None):
        queries = [hmm for hmm in families if _cutoff(hmm) == kind]
        options = {"bit_cutoffs": kind} if kind else {"E": e_value, "incE": e_value}
        for hits in pyhmmer.hmmer.hmmsearch(queries, block, cpus=threads, Z=_DATABASE_SIZE, **options):
            for hit in hits:
                if hit.included:
                    candidate = (hit.score, hits.query.name)
                    best[int(hit.name)] = max(best.get(int(hit.name), candidate), candidate)
    return [
        MarkerGene(
            contig=genes[at][0], marker=marker, start=genes[at][1], end=genes[at][2], strand=genes[at][3], score=score
        )
        for at, (score, marker) in sorted(best.items())
    ]

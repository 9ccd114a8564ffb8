"""Depth of coverage: mean and variance a contig and library, from alignments or from tables."""

# What to do where a table or a file of alignments does not fit the contigs of a sample.
OF_ONE_ASSEMBLY = (
    "a depth table or BAM is of one assembly: where samples share a group, give reads, or each sample a group of its "
    "own with tables or BAMs of its own, each under a library name of its own (docs/modes.md)"
)

"""Which contigs are binned, and whether the reads are fit to be filtered and mapped."""

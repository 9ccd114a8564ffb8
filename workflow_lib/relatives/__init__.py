"""The relatives stage: which species of the reference contigs share sequence with."""

"""The sweep: every kind of index measured on the user's own reference, with clades of it held out."""

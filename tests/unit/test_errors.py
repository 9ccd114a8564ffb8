"""Errors: long lists are cut, and say how much more there is."""

from workflow_lib.errors import Fault, FaultsError, some_names


def test_long_lists_are_cut():
    assert some_names("abc") == "a, b, c"
    assert some_names("abcde") == "a, b, c, d, e"
    assert some_names(map(str, range(7))) == "0, 1, 2, 3, 4 and 2 more"
    faults = [Fault("genomes.tsv", i + 2, "column fasta", f"g{i}.fa", "an existing file") for i in range(60)]
    error = FaultsError(faults)
    lines = str(error).splitlines()
    assert lines[0] == "60 faults in the input tables or configuration:"
    assert len(lines) == 22
    assert "g19.fa" in lines[-2]
    assert lines[-1] == "  and 40 more"
    assert error.faults == faults
    assert "more" not in str(FaultsError(faults[:20]))

"""Marker genes by the method that is configured."""

import pytest

from workflow_lib.errors import InputError
from workflow_lib.markers.find import check_markers, find_markers


@pytest.mark.parametrize(("method", "hmm"), [("kmers", None), ("none", None), ("hmm", "a.hmm")])
def test_what_goes_together(method, hmm):
    check_markers({"method": method, "hmm": hmm})


@pytest.mark.parametrize(
    ("method", "hmm", "told"),
    [("hmm", None, "names no file"), ("kmers", "a.hmm", "set markers.method to hmm"), ("none", "a.hmm", "a.hmm")],
)
def test_what_does_not(method, hmm, told):
    with pytest.raises(InputError, match=told):
        check_markers({"method": method, "hmm": hmm})


def test_another_method_is_refused(tmp_path):
    tables = {"genes_table": tmp_path / "g.tsv", "families_table": tmp_path / "f.tsv"}
    with pytest.raises(InputError, match="expected kmers or hmm"):
        find_markers(tmp_path / "contigs.fa", **tables, method="none")

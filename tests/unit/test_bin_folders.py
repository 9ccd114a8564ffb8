"""Bins of other programs: folders and tables in the forms that they come in."""

import pytest

from workflow_lib.bin_folders import check_folders, list_bin_files, name_folders, read_bins
from workflow_lib.errors import InputError


def write(folder, files: dict[str, str]):
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_a_folder_as_metabat2_leaves_it(tmp_path):
    files = {"b.1.fa": ">x\nACGT\n>y len=4\nACGT\n", "b.2.fna": ">z\nACGT\n", "b.unbinned.fa": ">u\nA\n"}
    write(tmp_path, {**files, "b.tooShort.fa": ">s\nA\n", "depth.txt": "", ".hidden.fa": ">h\nA\n"})
    assert read_bins(tmp_path) == {"x": "b.1", "y": "b.1", "z": "b.2"}
    assert list(list_bin_files(tmp_path)) == ["b.1", "b.2"]


@pytest.mark.parametrize(
    "text",
    [
        "x\tb1\ny\tb1\nz\tb2\n",  # DAS Tool, nf-core/mag
        "contig\tbin\nx\tb1\ny\tb1\nz\tb2\n",
        "clustername\tcontigname\nb1\tx\nb1\ty\nb2\tz\n",  # VAMB
        "@Version:0.9.1\n@SampleID:s\n\n@@SEQUENCEID\tBINID\nx\tb1\ny\tb1\nz\tb2\n",
        "contig\tbin\nx\tb1\ny\tb1\nz\tb2\nw\t-1\n",
        "contig\tbin\nx\tb1\ny\tb1\nz\tb2\nw\tUnbinned\nv\tNA\nu\tnan\n",
    ],
)
def test_tables(tmp_path, text):
    (tmp_path / "t.tsv").write_text(text)
    assert read_bins(tmp_path / "t.tsv") == {"x": "b1", "y": "b1", "z": "b2"}


def test_zero_is_no_bin_where_all_are_numbers(tmp_path):
    (tmp_path / "t.tsv").write_text("x\t1\ny\t0\nz\t12\n")
    assert read_bins(tmp_path / "t.tsv") == {"x": "1", "z": "12"}
    (tmp_path / "t.tsv").write_text("x\tb1\ny\t0\n")
    assert read_bins(tmp_path / "t.tsv") == {"x": "b1", "y": "0"}


def test_zero_is_no_bin_as_a_number_with_a_point(tmp_path):
    (tmp_path / "t.tsv").write_text("x\t1.0\ny\t0.0\nz\t12.0\n")
    assert read_bins(tmp_path / "t.tsv") == {"x": "1.0", "z": "12.0"}


@pytest.mark.parametrize("none", ["-1", "-1.0", "unbinned", "NA", "nan"])
def test_zero_is_a_bin_where_another_word_stands_for_none(tmp_path, none):
    (tmp_path / "t.tsv").write_text(f"x\t0\ny\t1\nz\t{none}\n")
    assert read_bins(tmp_path / "t.tsv") == {"x": "0", "y": "1"}


def test_bin_0_that_is_left_out_is_told(tmp_path, caplog):
    (tmp_path / "t.tsv").write_text("x\t1\ny\t0\nz\t0\n")
    assert read_bins(tmp_path / "t.tsv") == {"x": "1"}
    assert "bin 0 is taken for none" in caplog.text and "2 contigs are left out" in caplog.text
    caplog.clear()
    (tmp_path / "t.tsv").write_text("x\t1\ny\t2\n")
    read_bins(tmp_path / "t.tsv")
    assert not caplog.text


@pytest.mark.parametrize(
    "none",
    [
        *("lowDepth", "TOOSHORT", "unclassified", "s.unbinned.2", "Unbinned_1", "unbinned-1", "maxbin.noclass", "-"),
        *(".", "NoBin", "no_bin", "not_binned", "Unassigned", "null", ""),
    ],
)
def test_leftovers_are_no_bins_in_tables_either(tmp_path, none):
    (tmp_path / "t.tsv").write_text(f"contig\tbin\nx\tb1\ny\t{none}\n")
    assert read_bins(tmp_path / "t.tsv") == {"x": "b1"}


@pytest.mark.parametrize("rows", ["x\tb1\nx\tunbinned\n", "x\tNA\nx\tb1\n", "x\t\nx\tb1\n", "x\tb1\nx\t\n"])
def test_a_contig_in_a_bin_and_in_none_is_in_the_bin(tmp_path, rows):
    (tmp_path / "t.tsv").write_text(f"contig\tbin\n{rows}")
    assert read_bins(tmp_path / "t.tsv") == {"x": "b1"}


def test_two_bins_are_refused_in_spite_of_none(tmp_path):
    (tmp_path / "t.tsv").write_text("x\tb1\nx\tunbinned\nx\tb2\n")
    with pytest.raises(InputError, match="line 3: contig 'x' stands in 'b2' and in 'b1'"):
        read_bins(tmp_path / "t.tsv")


def test_own_bins_are_refused_whatever_their_path_is_written_like(tmp_path, monkeypatch):
    (tmp_path / "results/bins/a/fasta").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    own = {"a": "results/bins/a/fasta"}
    check_folders(["other/fasta", "results/bins/b/fasta"], own)
    for folder in ("results/bins/../bins/a/fasta", str(tmp_path / "results/bins/a/fasta")):
        with pytest.raises(InputError, match="bins of the sample 'a'"):
            check_folders([folder], own)


@pytest.mark.parametrize("text", ["", "contig\tbin\n", "x\t0\ny\t0\n"])
def test_a_table_without_a_bin_is_told(tmp_path, text, caplog):
    (tmp_path / "t.tsv").write_text(text)
    assert read_bins(tmp_path / "t.tsv") == {}
    assert "t.tsv has no contig that is in a bin" in caplog.text


def test_leftovers_of_nf_core_mag_and_suffixes_in_capitals(tmp_path):
    leftovers = (
        "unbinned",
        "s.unbinned.pooled",
        "s.unbinned.remaining",
        "s.unbinned.12",
        "s.Unbinned",
        "s.tooshort",
        "Unclassified",
    )
    write(tmp_path, {f"{name}.fa": ">u\nA\n" for name in leftovers})
    write(tmp_path, {"s.1.FA": ">x\nA\n", "s.2.Fasta": ">y\nA\n", "s.unbinned.3.sub.fna": ">z\nA\n"})
    assert read_bins(tmp_path) == {"x": "s.1", "y": "s.2", "z": "s.unbinned.3.sub"}


def test_bin_0_of_semibin_is_a_bin(tmp_path):
    (tmp_path / "t.tsv").write_text("contig\tbin\nx\t0\ny\t1\nz\t-1\n")
    assert read_bins(tmp_path / "t.tsv") == {"x": "0", "y": "1"}


def test_an_empty_table_has_no_bins(tmp_path):
    (tmp_path / "t.tsv").write_text("contig\tbin\n")
    assert read_bins(tmp_path / "t.tsv") == {}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.txt": ""}, "no FASTA file in it"),
        ({"a.fa": ">x\nA\n", "a.fasta": ">y\nA\n"}, "are of one bin"),
        ({"a.fa": ">x\nA\n", "b.fa": ">x\nA\n"}, "expected one bin a contig"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path, files, message):
    with pytest.raises(InputError, match=message):
        read_bins(write(tmp_path, files))


@pytest.mark.parametrize(
    ("folders", "samples", "names"),
    [
        (["x/other", "y/more"], ["a"], ["other", "more"]),
        (["x/other", "y/other", "z/more"], [], ["x_other", "y_other", "more"]),
        (["r/bins/a/fasta", "r/bins/b/fasta"], ["s"], ["a", "b"]),
        (["r/bins/a/fasta", "r/bins/b/fasta"], ["a"], ["bins_a", "b"]),
        (["r1/bins/a/fasta", "r2/bins/a/fasta"], ["a"], ["r1_bins_a", "r2_bins_a"]),
        (["x/a", "y/a", "z/x_a"], [], ["t_x_a", "y_a", "z_x_a"]),  # the longer name is taken
        ([], ["a"], []),
    ],
)
def test_folders_are_called_by_as_many_parts_as_tell_them_apart(folders, samples, names):
    assert name_folders([f"/t/{folder}" for folder in folders], samples) == {
        name: f"/t/{folder}" for name, folder in zip(names, folders, strict=True)
    }


@pytest.mark.parametrize(("folders", "samples"), [(["/t/x", "/t/y/../x"], []), (["/fasta", "/u/x"], ["fasta"])])
def test_folders_that_nothing_tells_apart_are_refused(folders, samples):
    with pytest.raises(InputError, match="named twice, or its whole path gives a name that is taken"):
        name_folders(folders, samples)


@pytest.mark.parametrize(("n_contigs", "n_bins", "told"), [(40, 21, True), (40, 20, False), (19, 19, False)])
def test_bins_of_one_contig_each_are_told(tmp_path, caplog, n_contigs, n_bins, told):
    """As where lengths are taken for bins; not of a few contigs, where it may well be so."""
    rows = [f"c{number}\tb{number % n_bins}\n" for number in range(n_contigs)]
    (tmp_path / "t.tsv").write_text("contig\tbin\n" + "".join(rows))
    assert len(read_bins(tmp_path / "t.tsv")) == n_contigs
    assert (f"{n_contigs} contigs are in {n_bins} bins" in caplog.text) == told

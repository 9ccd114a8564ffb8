import json
import re
from html.parser import HTMLParser

import pytest

from workflow_lib.errors import InputError
from workflow_lib.report import summarise_sample, write_report, write_summary
from workflow_lib.report.overview import overview_table
from workflow_lib.report.story import base_pairs, count, find_warnings, share, tell_story

NASTY = "</script><!--<b>\"{i}'&\u2028"


class PageReader(HTMLParser):
    """Collects the scripts, the text outside of them, and every address that an element would fetch."""

    def __init__(self, html):
        super().__init__()
        self.scripts, self.text, self.fetched, self.tags, self._open = [], [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        attributes = dict(attributes)
        self._open.append(tag)
        if tag == "script":
            self.scripts.append((attributes.get("id"), []))
        self.fetched += [v for k, v in attributes.items() if k in ("src", "href", "data", "srcset") and v[:1] != "#"]

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            self.scripts[-1][1].append(data)
        else:
            self.text.append(data)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def data(self, name):
        return json.loads("".join(next(parts for key, parts in self.scripts if key == name)))


@pytest.fixture
def make_page(maker, tmp_path):
    def make(samples, *, title="novabin", max_points=3000):
        paths = []
        for name, options in samples.items():
            libraries = options.pop("libraries", ("lib1", "lib2"))
            files = maker.make(name, libraries=libraries, **options)
            summary = summarise_sample(name, files, libraries=dict.fromkeys(libraries, "paired"), max_points=max_points)
            write_summary(tmp_path / f"{name}.json", summary)
            paths.append(tmp_path / f"{name}.json")
        page = tmp_path / "report.html"
        write_report(page, paths, title=title, configuration={"filter": {"min_length": 2500}, "note": "<i>&"})
        return page

    return make


def test_page_holds_every_sample_and_fetches_nothing(make_page):
    html = make_page({"s1": {}, "s2": {"novelty": False, "truth": False, "libraries": ()}}).read_text()
    page = PageReader(html)
    assert page.fetched == ["data:,"]
    assert "connect-src" not in html.split("</head>")[0]  # default-src 'none' forbids every request
    assert "default-src 'none'" in html
    assert page.data("run")["samples"] == ["s1", "s2"]
    assert page.data("sample-0")["counts"]["contigs"] == 65
    assert page.data("sample-1")["novelty"] is None
    assert len(re.findall(r"plotly\.js v\d", html)) == 1
    assert page.tags.count("script") == len(page.scripts) == 5  # run, two samples, plotly, the page's own


CALIBRATION = {
    "strata": "level\tstratum\ttest\tunits\tsmallest_q\ttested\n"
    "contig\t2500-4999\tspecies\t39\t0.025\tyes\nbin\tx\tgenus\t0\t\tno\n",
    "rates": "level\tstratum\trank\talpha\tunits\tqueries\trealised\tstandard_error\tp_null\tpower\n"
    "contig\t2500-4999\tspecies\t0.1\t19\t49\t0.02\t0.01\t0.09\t\n",
    "distances": "stratum\tleft_out\tlow\thigh\tdensity\n2500-4999\tgenome\t0\t0.5\t2\n2500-4999\tgenome\t0.5\t1\t0\n",
    "identities": "genome\tnearest_genome\tdistance\tani\taligned_fraction\na\tb\t0.3\t\t\n",
}


def test_calibration_has_its_section(make_page, tmp_path):
    for name, text in CALIBRATION.items():
        (tmp_path / f"{name}.tsv").write_text(text)
    page = make_page({"s1": {}})
    assert 'id="calibration-title"' not in page.read_text()
    paths = [tmp_path / "s1.json"]
    write_report(tmp_path / "with.html", paths, title="t", configuration={}, calibration=tmp_path)
    html = (tmp_path / "with.html").read_text()
    assert 'id="calibration-title"' in html
    found = PageReader(html).data("run")["calibration"]
    assert found["strata"] == [["contig", "2500-4999", "species", 39, 0.025], ["bin", "x", "genus", 0, None]]
    assert found["rates"] == [["contig", "2500-4999", "species", 0.1, 19, 49, 0.02, 0.01, 0.09, None]]
    assert found["distances"] == {"2500-4999": {"genome": {"edges": [0, 0.5, 1], "density": [2, 0]}}}
    assert (found["named"], found["untested"]) == (["species", "genus"], ["genus"])
    assert "Nothing can be called novel at this rank: genus." in html
    assert "second genomes of some dozens" not in html
    header = CALIBRATION["strata"].split("\n")[0]
    (tmp_path / "strata.tsv").write_text(f"{header}\ncontig\t2500-4999\treference\t39\t0.025\tyes\n")
    write_report(tmp_path / "nameless.html", paths, title="t", configuration={}, calibration=tmp_path)
    assert "names no taxa below the domain" in (tmp_path / "nameless.html").read_text()
    assert found["identities"] == {"genomes": ["a, b"], "distance": [0.3], "ani": [None], "aligned_fraction": [None]}


def test_names_cannot_leave_their_place(make_page):
    html = make_page({"s1": {"contig_name": NASTY, "n_contigs": 15, "n_bins": 1}}, title="<script>alert(1)</script>")
    page = PageReader(html.read_text())
    assert "script" not in "".join(page.text).replace("<script>alert(1)</script>", "").replace("JavaScript", "").lower()
    assert "<script>alert(1)</script>" in "".join(page.text)
    names = page.data("sample-0")["map"]["contig"]
    assert sorted(names) == sorted(NASTY.format(i=i) for i in range(15))
    assert "b" not in page.tags
    assert "note: <i>&" in "".join(page.text)


def test_same_summaries_give_the_same_bytes(make_page):
    first = make_page({"s1": {}}).read_bytes()
    assert make_page({"s1": {}}).read_bytes() == first


def test_many_samples_stay_small(make_page, tmp_path):
    make_page({"s1": {"n_contigs": 900, "n_bins": 30}}, max_points=900)
    summary = json.loads((tmp_path / "s1.json").read_text())
    paths = []
    for i in range(400):
        summary["sample"] = f"s{i}"
        paths.append(tmp_path / "many" / f"s{i}.json")
        write_summary(paths[-1], summary)
    write_report(tmp_path / "many.html", paths, title="many", configuration={})
    html = (tmp_path / "many.html").read_text()
    points = PageReader(html).data("sample-399")["map"]
    assert points["total"] == 900
    assert len(points["x"]) == len(points["call"]) == 120_000 // 400
    assert points["contig"] == summary["map"]["contig"][:300]
    assert len(html) < 25e6


def test_no_reference_to_a_place_or_time(make_page):
    html = make_page({"s1": {}}).read_text()
    own = html.replace(re.search(r"<script>/\*\*.*?</script>", html, re.DOTALL).group(), "")
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b|\d\d:\d\d:\d\d|/home/|/tmp/", own)


@pytest.mark.parametrize(
    ("content", "message"), [("{}", "of format None"), ("{", "not a JSON"), (None, "no such file")]
)
def test_unusable_summary(tmp_path, content, message):
    path = tmp_path / "s.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        write_report(tmp_path / "report.html", [path], title="t", configuration={})
    assert not (tmp_path / "report.html").exists()


def story_of(maker, name="s1", libraries=None, **options):
    files = maker.make(name, **options, **({"libraries": ()} if libraries is None else {}))
    summary = summarise_sample(name, files, libraries=libraries)
    return " ".join(tell_story(summary)), " ".join(find_warnings(summary)), summary


def test_a_depth_table_of_several_columns_is_as_many_libraries(maker):
    columns = ("aj.s1", "aj.s2", "aj.x.s3", "b")
    files = maker.make("s1", libraries=columns)
    summary = summarise_sample("s1", files, libraries={"aj": "depth", "aj.x": "depth", "b": "bam", "gone": "bam"})
    found = [(library["name"], library["kind"]) for library in summary["libraries"]]
    assert found == [("aj.s1", "depth"), ("aj.s2", "depth"), ("aj.x.s3", "depth"), ("b", "bam"), ("gone", "bam")]
    assert "Depth comes from 5 libraries: aj.s1 (depth table), aj.s2 (depth table)," in " ".join(tell_story(summary))


def test_story_of_a_whole_run(maker):
    story, warnings, summary = story_of(maker, libraries={"lib1": "paired", "lib2": "single"})
    assert "65 contigs of" in story
    assert "4 bins hold" in story
    assert "Depth comes from 2 libraries: lib1 (paired reads), lib2 (single reads)." in story
    assert "It makes up 30% of the similarity" in story
    assert "GC content changes it up to 2.2-fold (lib2); that was taken off before binning." in story
    assert "similarity of 0.712 or more, found without labels" in story
    assert f"{summary['novelty']['counts']['bins']['novel']} bin" in story
    assert "false discovery rate of 10%" in story
    assert warnings == ""
    summary["threshold"]["gc_folds"] = {"lib1": 1, "lib2": 1.04}
    assert "GC content" not in " ".join(tell_story(summary))
    assert "relative in the reference" not in story
    summary["threshold"]["relatives"] = {"contigs": 1234, "sure": 12}
    assert "1,234 contigs have a relative in the reference, 12 of them are surely" in " ".join(tell_story(summary))


def test_what_is_off_is_said(maker):
    story, warnings, _ = story_of(maker, novelty=False, truth=False, n_bins=0)
    assert "No bins were found" in story
    assert "composition alone" in story
    assert "Zero bins: no group of contigs reaches 10 contigs or 200,000 bp." in warnings
    assert "Composition only" in warnings
    assert "Novelty is off: no reference table is configured" in warnings


@pytest.mark.parametrize(
    ("n_filtered", "words"), [(0, "The contigs file is empty"), (4, "No contig passed the filter")]
)
def test_nothing_to_bin(maker, n_filtered, words):
    story, warnings, _ = story_of(maker, n_contigs=0, n_bins=0, n_filtered=n_filtered)
    assert words in warnings
    assert "Zero bins" not in warnings
    assert "similarity" not in story


def test_contigs_lost_to_their_names_are_said_first(maker):
    summary = summarise_sample("s1", maker.make(), libraries={"lib1": "paired"})
    assert not any("earlier one" in warning for warning in find_warnings(summary))
    row = next(row for row in summary["statuses"] if row["status"] == "duplicate_name")
    row.update(contigs=76, bp=1_234_000)
    warning = find_warnings(summary)[0]
    assert warning.startswith("76 contigs of 1.23 Mbp have the name of an earlier one")
    assert "replace the blanks" in warning


def test_reads_lost_are_said(maker):
    files = maker.make()
    maker.write_fastp(files.fastp["lib1"], kept=0.31)
    maker.write_fastp(files.fastp["lib2"], reads=0)
    warnings = find_warnings(summarise_sample("s1", files, libraries={"lib1": "paired", "lib2": "paired"}))
    assert warnings == ["Library lib1: only 31% of the reads passed the filter.", "Library lib2 has no reads."]


def test_fallback_and_unused_depth_are_said(maker):
    files = maker.make()
    binning = json.loads(files.binning.read_text())
    binning["threshold"]["note"] = "only 3 contigs are long enough to be cut into two halves"
    binning["depth"]["share"] = 0
    files.binning.write_text(json.dumps(binning))
    warnings = " ".join(find_warnings(summarise_sample("s1", files, libraries={"lib1": "bam"})))
    assert "Threshold: only 3 contigs are long enough" in warnings
    assert "depth did not enter" in warnings


def test_what_was_compared_of_a_large_sample_is_said(maker):
    files = maker.make()
    binning = json.loads(files.binning.read_text())
    binning["neighbours"] = {"recall": 0.991, "wanted": 0.99, "n_sampled": 498, "compared": 0.0123}
    files.binning.write_text(json.dumps(binning))
    summary = summarise_sample("s1", files, libraries={"lib1": "bam"})
    assert "1.2% of all pairs; 99.1% of the neighbours of 498 contigs were among them." in " ".join(tell_story(summary))
    assert "torn" not in " ".join(find_warnings(summary))
    summary["threshold"]["neighbours"]["recall"] = 0.9
    assert "Only 90% of the contigs within the threshold" in " ".join(find_warnings(summary))


def test_overview_leaves_out_what_nobody_has(maker):
    _, _, summary = story_of(maker, novelty=False, truth=False)
    summary["warnings"] = find_warnings(summary)
    table = overview_table([summary])
    keys = [column["key"] for column in table["columns"]]
    assert "novel_bins" not in keys
    assert "high_quality" not in keys
    assert all(len(row) == len(keys) for row in table["rows"])


def test_words_for_numbers():
    assert [base_pairs(n) for n in (0, 999, 1000, 12_345, 3_020_000, 2_500_000_000)] == [
        "0 bp", "999 bp", "1 kbp", "12.3 kbp", "3.02 Mbp", "2.5 Gbp",
    ]  # fmt: skip
    assert [base_pairs(n) for n in (999_600, 1_234_000_000_000)] == ["1,000 kbp", "1,230 Gbp"]
    assert [share(n, 10_000) for n in (0, 1, 500, 9_999, 10_000)] == ["0%", "under 0.1%", "5%", "over 99.9%", "100%"]
    assert share(0, 0) == "0%"
    assert [count(1, "library"), count(2, "library"), count(1234, "contig")] == [
        "1 library",
        "2 libraries",
        "1,234 contigs",
    ]

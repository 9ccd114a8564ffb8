"""The page in a real browser, headless, with no network."""

import json
import re
import shutil
import subprocess
from urllib.parse import unquote

import pytest

from workflow_lib.report import summarise_sample, write_report, write_summary

pytestmark = pytest.mark.browser

# Clicks what a user would, and leaves what it saw in an attribute of the body.
PROBE = """
<script>
addEventListener("load", () => setTimeout(() => {
  const seen = {};
  const texts = (selector) => [...document.querySelectorAll(selector)].map((node) => node.textContent).join("|");
  const click = (selector, text) =>
    [...document.querySelectorAll(selector)].find((node) => node.textContent === text).click();
  seen.title = document.getElementById("sample-title").textContent;
  seen.plots = document.querySelectorAll("figure:not([hidden]) .plot .main-svg").length;
  seen.points = document.querySelectorAll("#plot-map .point").length;
  click('[data-table="bins"] thead button', "contigs");
  seen.sorted = texts('[data-table="bins"] tbody td:nth-child(2)');
  const filter = document.querySelector('[data-table="bins"] input');
  filter.value = "bin.2";
  filter.dispatchEvent(new Event("input"));
  seen.filtered = texts('[data-table="bins"] tbody th');
  click('[data-table="bins"] tbody button', "bin.2");
  seen.labels = texts("#plot-map .annotation-text");
  const colour = document.getElementById("colour-by");
  colour.value = "call";
  colour.dispatchEvent(new Event("change"));
  seen.legend = texts("#plot-map .legendtext");
  document.getElementById("next").click();
  setTimeout(() => {
    seen.next = document.getElementById("sample-title").textContent;
    seen.nextBins = document.getElementById("bins-block").hidden;
    seen.address = location.hash;
    document.body.dataset.seen = encodeURIComponent(JSON.stringify(seen));
  }, 300);
}, 300));
</script>
"""


@pytest.fixture
def browser(tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed")

    def visit(page, *options):
        """(document as the scripts left it, console lines, addresses that the page asked the network for)."""
        log = tmp_path / "net.json"
        flags = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--disable-extensions",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", f"--log-net-log={log}",
            f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000", "--window-size=1400,3000",
        ]  # fmt: skip
        done = subprocess.run(
            [chromium, *flags, *options, "--dump-dom", page], capture_output=True, text=True, timeout=120, check=True
        )
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        requests = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
        # The browser's own requests (its updates, its clock) have no origin; those of a page have one.
        addresses = {
            p["url"] for p in requests if "url" in p and p.get("initiator", "not an origin") != "not an origin"
        }
        return done.stdout, console, addresses

    return visit


@pytest.fixture
def page(maker, tmp_path):
    paths = []
    samples = {"s1": {"n_contigs": 200, "n_bins": 9}, "<empty>": {"n_contigs": 0, "n_bins": 0}}
    for index, (name, options) in enumerate(samples.items()):
        files = maker.make(f"sample{index}", contig_name="<b>\"{i}'&</script>", **options)
        summary = summarise_sample(name, files, libraries={"lib1": "paired", "lib2": "paired"})
        paths.append(tmp_path / f"{index}.json")
        write_summary(paths[-1], summary)
    write_report(tmp_path / "report.html", paths, title="A & B", configuration={})
    return tmp_path / "report.html"


def test_page_works_offline(browser, page):
    html = page.read_text().replace("</body>", PROBE + "</body>")
    page.write_text(html)
    document, console, addresses = browser(page.as_uri())
    assert console == []
    assert addresses == set()
    seen = json.loads(unquote(re.search(r'data-seen="([^"]*)"', document).group(1)))
    assert seen["title"] == "s1"
    assert seen["points"] == 200
    assert seen["plots"] >= 9
    counts = [int(text) for text in seen["sorted"].split("|")]
    assert counts == sorted(counts, reverse=True)
    assert len(counts) == 9
    assert seen["filtered"] == "bin.2"
    assert seen["labels"] == "bin.2"
    assert set(seen["legend"].split("|")) == {"known", "novel", "ambiguous", "no call"}
    assert seen["next"] == "<empty>"
    assert seen["address"] == "#sample=%3Cempty%3E"
    assert "No contig passed the filter" in document


def test_address_chooses_the_sample(browser, page):
    document, console, addresses = browser(page.as_uri() + "#sample=%3Cempty%3E")
    assert (console, addresses) == ([], set())
    assert re.search(r'id="sample-title"[^>]*>&lt;empty&gt;<', document)
    assert re.search(r'id="map-block" hidden', document)


def test_a_request_would_be_seen(browser, tmp_path):
    """The test of the test: a page that asks for something is caught."""
    bad = tmp_path / "bad.html"
    bad.write_text('<img src="http://example.org/x.png"><script>console.error("wrong")</script>')
    _, console, addresses = browser(bad.as_uri())
    assert any("wrong" in line for line in console)
    assert addresses == {"http://example.org/x.png"}

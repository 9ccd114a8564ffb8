"""A maker of what the other stages write for a sample, small and seeded."""

import json
from pathlib import Path

import numpy as np
import pytest

from workflow_lib.report import SampleFiles
from workflow_lib.store import EmbeddingStore, write_store

RANKS = ("species", "genus", "family", "order", "class", "phylum")
CALLS = (
    ("known", "known"),
    ("novel_species", "species"),
    ("novel_genus", "genus"),
    ("ambiguous", "species"),
    ("abstain", ""),
)


def write_rows(path: Path, header: list[str], rows: list) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = ["\t".join(header), *("\t".join("" if value is None else str(value) for value in row) for row in rows)]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def write_fastp(path: Path, *, reads: int = 200_000, kept: float = 0.93) -> Path:
    """A JSON report of fastp with the fields that novabin reads."""

    def totals(n, q30):
        return {"total_reads": n, "total_bases": n * 150, "q30_rate": q30, "gc_content": 0.47}

    content = {
        "summary": {
            "fastp_version": "0.23.2",
            "before_filtering": totals(reads, 0.88),
            "after_filtering": totals(int(reads * kept), 0.95),
        },
        "filtering_result": {"low_quality_reads": 900, "too_many_N_reads": 12, "too_short_reads": 40},
        "adapter_cutting": {"adapter_trimmed_reads": 700},
        "duplication": {"rate": 0.012},
        "insert_size": {"peak": 310},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


class SampleMaker:
    """Writes a sample's tables under a folder: `make(n_contigs=..., n_bins=...)` gives its SampleFiles."""

    write_fastp = staticmethod(write_fastp)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(
        self,
        name: str = "s1",
        *,
        n_contigs: int = 60,
        n_bins: int = 4,
        n_filtered: int = 5,
        libraries: tuple[str, ...] = ("lib1", "lib2"),
        novelty: bool = True,
        truth: bool = True,
        seed: int = 1,
        contig_name: str = "{sample}_contig_{i}",
        dim: int = 16,
    ) -> SampleFiles:
        rng = np.random.default_rng(seed)
        folder = self.folder / name
        names = [contig_name.format(sample=name, i=i) for i in range(n_contigs)]
        lengths = np.maximum(2500, rng.lognormal(9.2, 1.1, n_contigs)).astype(int)
        weights = 1 / np.arange(1, n_bins + 2) if n_bins else np.ones(1)
        labels = rng.choice(n_bins + 1, n_contigs, p=weights / weights.sum()) - 1 if n_bins else np.full(n_contigs, -1)
        labels[:n_bins] = np.arange(n_bins)
        centres = rng.normal(size=(n_bins + 1, dim))
        vectors = centres[labels] + 0.45 * rng.normal(size=(n_contigs, dim)) * (1 + 2 * (labels < 0))[:, None]
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        manifest = {"name": "tnf-k", "fingerprint": "0123456789abcdef"}
        write_store(folder / "embeddings", EmbeddingStore(vectors.astype(np.float32), names, manifest))
        bins = [f"bin.{index + 1}" for index in range(n_bins)]
        rows = []
        for contig, length, label in zip(names, lengths, labels, strict=True):
            state = ("binned", bins[label], "") if label >= 0 else ("unbinned", "", f"its bin is too small: {contig}")
            rows.append((contig, length, *state))
        rows += [(f"{name}_short_{i}", 400 + i, "too_short", "", "under 2500 bp") for i in range(n_filtered)]
        files = {
            "contigs": write_rows(folder / "contigs.tsv", ["contig", "length", "status", "bin", "reason"], rows),
            "bins": self._bins(folder, bins, labels, names, lengths, libraries, rng),
            "binning": self._binning(folder, n_bins, libraries, rng),
            "embeddings": folder / "embeddings",
            "fastp": {library: write_fastp(folder / f"{library}.json") for library in libraries},
        }
        if novelty:
            kept = list(zip(names, lengths, strict=True))
            totals = [(b, int(lengths[labels == i].sum())) for i, b in enumerate(bins)]
            files["novelty_contigs"] = self._novelty(folder / "novelty_contigs.tsv", "contig", kept, rng)
            files["novelty_bins"] = self._novelty(folder / "novelty_bins.tsv", "bin", totals, rng)
        if truth:
            files["metrics"], files["evaluation_bins"] = self._evaluation(folder, bins, rng)
        return SampleFiles(**files)

    def _bins(self, folder, bins, labels, names, lengths, libraries, rng):
        header = [
            "bin",
            "n_contigs",
            "length_bp",
            "n50",
            "gc",
            *(f"depth_{x}" for x in libraries),
            "medoid",
            "tightness",
        ]
        rows = []
        for index, name in enumerate(bins):
            members = np.flatnonzero(labels == index)
            depths = [f"{value:.6g}" for value in rng.lognormal(2, 1.2, len(libraries))]
            gc, tightness = f"{rng.uniform(0.3, 0.7):.6g}", f"{rng.uniform(0.7, 0.95):.6g}"
            medoid = names[members[0]] if len(members) else ""
            total = int(lengths[members].sum())
            rows.append([name, len(members), total, int(np.median(lengths[members])), gc, *depths, medoid, tightness])
        return write_rows(folder / "bins.tsv", header, rows)

    def _binning(self, folder, n_bins, libraries, rng):
        edges = np.linspace(-1, 1, 81)
        same = np.histogram(1 - rng.gamma(2, 0.06, 2000), edges)[0].tolist()
        different = np.histogram(rng.normal(0.1, 0.25, 5000).clip(-1, 1), edges)[0].tolist()
        content = {
            "threshold": {
                "method": "label_free",
                "value": 0.7123,
                "can_bin_share": 0.83,
                "note": None,
                "distribution": {"edges": edges.tolist(), "same": same, "different": different},
            },
            "depth": {
                "share": 0.3 if libraries else 0.0,
                "gc_folds": {name: 1.2 + i for i, name in enumerate(libraries)},
            },
        }
        if not n_bins:
            content["reason"] = "no group of contigs reaches 10 contigs or 200,000 bp"
        path = folder / "binning.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    def _novelty(self, path, level, queries, rng):
        header = ["query", "level", "length", "n_windows", "stratum", "n_cal", "call", "call_rank", "nearest_taxon",
                  "nearest_genome", "d1", "s1", "s2", "margin", *(f"p_{r}" for r in RANKS), *(f"q_{r}" for r in RANKS),
                  "p_known", "q_known", "abstain_reason", "flags", "index_id", "calibration_id", "alpha"]  # fmt: skip
        rows = []
        for name, length in queries:
            call, rank = CALLS[rng.choice(5, p=[0.35, 0.2, 0.15, 0.2, 0.1])]
            d1 = rng.gamma(4, 0.05) + (0.25 if call.startswith("novel") else 0)
            p_values = np.sort(rng.beta(0.5 if call.startswith("novel") else 1, 1.5, len(RANKS)))
            q_values = np.minimum(1, p_values * 1.3)
            reason = "too_few_calibration_genomes" if call == "abstain" else ""
            known = f"{1 - p_values[0]:.6g}"
            rows.append([name, level, length, 1, "5-10 kbp", 120, call, rank, "s__Escherichia coli",
                         f"ref{rng.integers(40)}", f"{d1:.6g}", f"{d1:.6g}", f"{d1 * 1.1:.6g}", "0.01",
                         *(f"{v:.6g}" for v in p_values), *(f"{v:.6g}" for v in q_values), known, known, reason, "",
                         "idx-42", "cal-42", 0.1])  # fmt: skip
        return write_rows(path, header, rows)

    def _evaluation(self, folder, bins, rng):
        metrics = [(metric, by, unbinned, f"{rng.uniform(0.4, 1):.6g}")
                   for metric in ("completeness", "purity", "f1", "ari", "share_assigned")
                   for by in ("bp", "contig") for unbinned in ("counted", "counted_kept", "ignored")]  # fmt: skip
        first = write_rows(folder / "metrics.tsv", ["metric", "by", "unbinned", "value"], metrics)
        rows = [(b, f"genome{i}", f"{rng.beta(6, 1.5):.6g}", f"{rng.beta(1, 18):.6g}") for i, b in enumerate(bins)]
        return first, write_rows(folder / "ebins.tsv", ["bin", "genome", "completeness_bp", "contamination_bp"], rows)


@pytest.fixture
def maker(tmp_path) -> SampleMaker:
    return SampleMaker(tmp_path)

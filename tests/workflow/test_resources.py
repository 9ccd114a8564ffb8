"""Memory and time that jobs ask for: inputs that are mapped, or read in parts, count with a share of their own."""

import subprocess
import sys
from pathlib import Path

RESOURCES = Path(__file__).parents[2] / "rules/resources.smk"
RULE = """
import os
include: "{resources}"
rule ask:
    input: sample="sample", index=["one", "two"]
    output: "asked"
    resources:
        mem_mb=get_memory(100, 3), runtime=get_runtime(10, 1000, index=500),
        disk_mb=get_memory(100, 3, index=0.5), first=get_memory(100, 3, index=0, sample=1),
    shell: "echo {{resources.mem_mb}} {{resources.disk_mb}} {{resources.first}} {{resources.runtime}} > asked"
"""


def test_what_is_mapped_counts_with_its_share(tmp_path):
    for name, mb in {"sample": 4, "one": 2, "two": 4}.items():
        (tmp_path / name).write_bytes(bytes(mb << 20))
    (tmp_path / "Snakefile").write_text(RULE.format(resources=RESOURCES))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--directory", str(tmp_path)]
    subprocess.run([*command, "-s", str(tmp_path / "Snakefile")], check=True, capture_output=True)
    whole, half, mapped, minutes = map(int, (tmp_path / "asked").read_text().split())
    assert whole == 100 + 3 * 10
    assert half == 100 + 3 * 4 + 3
    assert mapped == 100 + 4
    assert minutes == 10 + 4 + 3

# Table loading and get_* functions; no rules here.
import os
import sys

sys.path.insert(0, workflow.basedir)
os.environ["PYTHONPATH"] = f"{workflow.basedir}:{os.environ.get('PYTHONPATH', '')}".rstrip(
    ":"
)

from snakemake.exceptions import WorkflowError

from workflow_lib.config import validate_config
from workflow_lib.errors import NovabinError
from workflow_lib.tables import load_libraries, load_reference, load_samples
from workflow_lib.versions import stage_version


def load_inputs():
    """Check the configuration and load the three tables; jobs do not look for the files again."""
    check_files = workflow.is_main_process
    try:
        validate_config(
            config, f"{workflow.basedir}/config/schemas/config.schema.yaml"
        )
        samples = load_samples(config["samples"], check_files=check_files)
        groups = {sample.group for sample in samples.values()}
        libraries = {}
        if config["libraries"]:
            libraries = load_libraries(
                config["libraries"], groups=groups, check_files=check_files
            )
        reference = {}
        if config["reference"]:
            reference = load_reference(config["reference"], check_files=check_files)
    except NovabinError as error:
        raise WorkflowError(str(error)) from None
    return samples, libraries, reference


SAMPLES, LIBRARIES, REFERENCE = load_inputs()
GROUPS = {}
for library in LIBRARIES.values():
    GROUPS.setdefault(library.group, []).append(library.name)


wildcard_constraints:
    sample="|".join(map(re.escape, SAMPLES)),
    library="|".join(map(re.escape, LIBRARIES)) or "[^/]+",


def get_libraries(sample):
    """Names of the libraries that are counted on a sample: all of its group."""
    return GROUPS.get(SAMPLES[sample].group, [])


def get_memory(base_mb, per_input_mb):
    """A `mem_mb` function: grows with the size of the input and with every attempt."""

    def mem_mb(wildcards, input, attempt):
        return int((base_mb + per_input_mb * input.size_mb) * attempt)

    return mem_mb


def get_runtime(base_minutes, per_input_gb):
    """A `runtime` function in minutes: grows with the size of the input and with every attempt."""

    def runtime(wildcards, input, attempt):
        return int((base_minutes + per_input_gb * input.size_mb / 1000) * attempt)

    return runtime


def get_final_output(wildcards):
    """Everything that `snakemake` without a target makes."""
    paths = [
        f"<results>/bins/{sample}/{table}"
        for sample in SAMPLES
        for table in ("contig2bin.tsv", "bins.tsv", "contigs.tsv", f"{sample}.binning")
    ]
    if REFERENCE:
        paths += [f"<results>/novelty/{sample}/bins.tsv" for sample in SAMPLES]
    paths += [
        f"<results>/evaluation/{sample.name}/metrics.tsv"
        for sample in SAMPLES.values()
        if sample.truth
    ]
    return paths + ["<results>/report/report.html"]

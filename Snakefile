from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")


# The shipped defaults; a configuration in the working directory needs to hold only what differs.
configfile: f"{workflow.basedir}/config/config.yaml"


if Path("config/config.yaml").is_file():

    configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/resources.smk"
include: "rules/filter.smk"
include: "rules/depth.smk"
include: "rules/embed.smk"
include: "rules/index.smk"
include: "rules/bin.smk"
include: "rules/markers.smk"
include: "rules/dereplicate.smk"
include: "rules/review.smk"
include: "rules/novelty.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"
include: "rules/simulate.smk"
include: "rules/train_common.smk"
include: "rules/train.smk"
include: "rules/pretrain.smk"
include: "rules/scoreboard_common.smk"
include: "rules/scoreboard.smk"
include: "rules/benchmark_common.smk"
include: "rules/benchmark.smk"
include: "rules/sweep.smk"


localrules:
    all,
    extend_index,
    fetch_model,
    review_bins,


rule all:
    input:
        get_final_output,


onerror:
    from workflow_lib.failures import describe_failures

    print(*map(describe_failures, log), file=sys.stderr)

# rules of the report stage


# Numbers, tables and the 2-D map of a sample; samples go in parallel.
rule summarise_sample:
    input:
        contigs="<results>/bins/{sample}/contigs.tsv",
        bins="<results>/bins/{sample}/bins.tsv",
        binning="<results>/bins/{sample}/binning.json",
        vectors="<results>/embeddings/{sample}/vectors.npy",
        names="<results>/embeddings/{sample}/contigs.txt",
        manifest="<results>/embeddings/{sample}/manifest.json",
        novelty_contigs="<results>/novelty/{sample}/contigs.tsv" if REFERENCE else [],
        novelty_bins="<results>/novelty/{sample}/bins.tsv" if REFERENCE else [],
        metrics=lambda wildcards: (
            "<results>/evaluation/{sample}/metrics.tsv" if SAMPLES[wildcards.sample].truth else []
        ),
        evaluation_bins=lambda wildcards: (
            "<results>/evaluation/{sample}/bins.tsv" if SAMPLES[wildcards.sample].truth else []
        ),
        quality=lambda wildcards: get_quality(wildcards.sample),
        review_bins=lambda wildcards: (
            "<results>/review/{sample}/bins.tsv" if SAMPLES[wildcards.sample].bins else []
        ),
        review_merges=lambda wildcards: (
            "<results>/review/{sample}/merges.tsv" if SAMPLES[wildcards.sample].bins else []
        ),
        fastp=lambda wildcards: [
            f"<results>/reads/{name}/fastp.json" for name in get_short_read_libraries(wildcards.sample)
        ],
    output:
        summary="<results>/report/samples/{sample}.json",
    log:
        "<logs>/summarise_sample/{sample}.log",
    benchmark:
        "<benchmarks>/summarise_sample/{sample}.tsv"
    conda:
        "../envs/novabin.yaml"
    # t-SNE on several threads gives another map each time.
    threads: 1
    resources:
        mem_mb=get_memory(1500, 10),
        runtime=get_runtime(10, 20),
    params:
        version=stage_version("report"),
        group=lambda wildcards: SAMPLES[wildcards.sample].group,
        libraries=lambda wildcards: {name: LIBRARIES[name].kind for name in get_libraries(wildcards.sample)},
        short_read_libraries=lambda wildcards: get_short_read_libraries(wildcards.sample),
        max_points=config["report"]["max_points"],
        seed=config["report"]["seed"],
    script:
        "../scripts/summarise_sample.py"


# All samples on one page that opens without a network.
rule write_report:
    input:
        summaries=expand("<results>/report/samples/{sample}.json", sample=SAMPLES),
        clusters="<results>/genomes/clusters.tsv" if needs_dereplication() else [],
        calibration="<results>/novelty/calibration/strata.tsv" if REFERENCE else [],
        calibration_tables=(
            expand("<results>/novelty/calibration/{table}.tsv", table=("rates", "distances", "identities"))
            if REFERENCE
            else []
        ),
    output:
        page="<results>/report/report.html",
    log:
        "<logs>/write_report.log",
    benchmark:
        "<benchmarks>/write_report.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1000, 5),
        runtime=get_runtime(10, 60),
    params:
        version=stage_version("report"),
        title=config["report"]["title"],
        configuration=config,
    script:
        "../scripts/write_report.py"

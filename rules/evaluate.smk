# A sample's bins against its truth: AMBER's measures and the species counts of the DNABERT-S paper.
rule evaluate_bins:
    input:
        contig2bin="<results>/bins/{sample}/contig2bin.tsv",
        status="<results>/contigs/{sample}/status.tsv",
        truth=get_truth,
    output:
        metrics="<results>/evaluation/{sample}/metrics.tsv",
        bins="<results>/evaluation/{sample}/bins.tsv",
        genomes="<results>/evaluation/{sample}/genomes.tsv",
        quality=report(
            "<results>/evaluation/{sample}/bin_quality.svg",
            category="Evaluation",
            labels={"sample": "{sample}", "plot": "purity and completeness of bins"},
        ),
        ranked=report(
            "<results>/evaluation/{sample}/ranked.svg",
            category="Evaluation",
            labels={"sample": "{sample}", "plot": "completeness and contamination, ranked"},
        ),
    log:
        "<logs>/evaluate_bins/{sample}.log",
    benchmark:
        "<benchmarks>/evaluate_bins/{sample}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(600, 30),
        runtime=get_runtime(5, 60),
    params:
        version=stage_version("evaluate"),
    script:
        "../scripts/evaluate_bins.py"

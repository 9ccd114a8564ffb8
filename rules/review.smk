# A second opinion on bins that the samples table names: any program's, as a table or a folder of FASTA files.
rule review_bins:
    input:
        get_reviews,


rule review_sample:
    input:
        bins=get_given_bins,
        contigs="<results>/contigs/{sample}/contigs.fa.gz",
        status="<results>/contigs/{sample}/status.tsv",
        vectors="<results>/embeddings/{sample}/vectors.npy",
        names="<results>/embeddings/{sample}/contigs.txt",
        pieces="<results>/embeddings/{sample}/pieces.npz",
        manifest="<results>/embeddings/{sample}/manifest.json",
        depth=lambda wildcards: (
            "<results>/depth/{sample}/depth.tsv" if get_libraries(wildcards.sample) else []
        ),
    output:
        contigs="<results>/review/{sample}/contigs.tsv",
        bins="<results>/review/{sample}/bins.tsv",
        merges="<results>/review/{sample}/merges.tsv",
    log:
        "<logs>/review_sample/{sample}.log",
    benchmark:
        "<benchmarks>/review_sample/{sample}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 2
    resources:
        mem_mb=get_memory(1500, 10),
        runtime=get_runtime(10, 60),
    params:
        version=stage_version("review"),
        options={
            "false_alarm": config["review"]["false_alarm"],
            **{key: config["bin"][key] for key in ("depth_weight", "adapt_from", "seed")},
        },
    script:
        "../scripts/review_sample.py"

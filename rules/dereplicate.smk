# The bins of all samples as genomes: clusters by ANI, with a representative each.
rule dereplicate_bins:
    input:
        bins=expand("<results>/bins/{sample}/fasta", sample=SAMPLES),
        qualities=get_qualities(),
        # Of folders only the size of their listing counts for memory and time.
        contigs=expand("<results>/contigs/{sample}/contigs.fa.gz", sample=SAMPLES),
        folders=config["dereplicate"]["folders"],
    output:
        table="<results>/genomes/clusters.tsv",
        fasta=directory("<results>/genomes/fasta"),
    log:
        "<logs>/dereplicate_bins.log",
    benchmark:
        "<benchmarks>/dereplicate_bins.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1000, 2),
        runtime=get_runtime(10, 120),
    params:
        version=stage_version("dereplicate"),
        samples=list(SAMPLES),
        min_ani=config["dereplicate"]["min_ani"],
        min_aligned=config["dereplicate"]["min_aligned"],
    script:
        "../scripts/dereplicate_bins.py"

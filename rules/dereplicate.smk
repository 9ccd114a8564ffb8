# Bins of other runs and programs are rated as the samples' own, so that the best of a cluster represents it, whoever made it.
rule rate_folders:
    input:
        folders=config["dereplicate"]["folders"],
        hmm=config["markers"]["hmm"] if config["markers"]["method"] == "hmm" else [],
    output:
        table="<results>/genomes/markers.tsv",
    log:
        "<logs>/rate_folders.log",
    benchmark:
        "<benchmarks>/rate_folders.tsv"
    conda:
        "../envs/markers.yaml" if config["markers"]["method"] == "hmm" else "../envs/novabin.yaml"
    threads: 4
    resources:
        mem_mb=get_folders_memory,
        runtime=get_folders_runtime,
    params:
        version=stage_version("markers"),
        samples=list(SAMPLES),
        method=config["markers"]["method"],
        e_value=config["markers"]["e_value"] if config["markers"]["method"] == "hmm" else None,
    script:
        "../scripts/rate_folders.py"


# The bins of all samples as genomes: clusters by ANI, with a representative each.
rule dereplicate_bins:
    input:
        bins=expand("<results>/bins/{sample}/fasta", sample=SAMPLES),
        qualities=get_ranking_qualities(),
        folder_qualities="<results>/genomes/markers.tsv" if rates_folders() else [],
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

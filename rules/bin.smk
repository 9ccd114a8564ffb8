# rules of the bin stage


# Contigs of one genome are near the same species of the reference.
rule find_relatives:
    input:
        contigs="<results>/contigs/{sample}/contigs.fa.gz",
        table=get_reference_table,
        sketch=get_sketch("manifest.json"),
        sketch_hashes=get_sketch("hashes.npy"),
        sketch_genomes=get_sketch("genomes.npy"),
    output:
        table="<results>/relatives/{sample}/contigs.tsv",
    log:
        "<logs>/find_relatives/{sample}.log",
    benchmark:
        "<benchmarks>/find_relatives/{sample}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1500, 8, sketch_hashes=0.1, sketch_genomes=0.1),
        runtime=get_runtime(10, 30, sketch_hashes=5, sketch_genomes=5),
    params:
        version=stage_version("relatives"),
    script:
        "../scripts/find_relatives.py"


# Depth (where there is any) joins the embedding, a threshold is found, K-medoid makes the bins.
rule bin_contigs:
    input:
        contigs="<results>/contigs/{sample}/contigs.fa.gz",
        status="<results>/contigs/{sample}/status.tsv",
        vectors="<results>/embeddings/{sample}/vectors.npy",
        names="<results>/embeddings/{sample}/contigs.txt",
        pieces="<results>/embeddings/{sample}/pieces.npz",
        manifest="<results>/embeddings/{sample}/manifest.json",
        depth=lambda wildcards: (
            "<results>/depth/{sample}/depth.tsv" if get_libraries(wildcards.sample) else []
        ),
        marker_genes=("<results>/markers/{sample}/contigs.tsv" if HAS_MARKERS else []),
        marker_families=("<results>/markers/{sample}/families.tsv" if HAS_MARKERS else []),
        relatives="<results>/relatives/{sample}/contigs.tsv" if uses_relatives() else [],
        labelled=config["bin"]["threshold"]["labelled"] or [],
        model=get_threshold_model,
    output:
        contig2bin="<results>/bins/{sample}/contig2bin.tsv",
        bioboxes="<results>/bins/{sample}/{sample}.binning",
        bins="<results>/bins/{sample}/bins.tsv",
        contigs="<results>/bins/{sample}/contigs.tsv",
        summary="<results>/bins/{sample}/binning.json",
    log:
        "<logs>/bin_contigs/{sample}.log",
    benchmark:
        "<benchmarks>/bin_contigs/{sample}.tsv"
    conda:
        get_embed_env() if needs_labelled_sequences() else get_device_env(config["bin"]["device"])
    threads: 4
    resources:
        mem_mb=(get_embed_memory if needs_labelled_sequences() else get_memory)(1000, 8),
        runtime=get_runtime(10, 120),
        gpu=max(count_gpus(config["bin"]["device"]), get_gpus() if needs_labelled_sequences() else 0),
    params:
        version=stage_version("bin"),
        threshold=get_section("bin", "threshold"),
        binning=get_binning_options(),
        # Of the labelled sequences that a percentile threshold needs.
        embedder=get_embed_params(),
        device=config["embed"]["device"],
    script:
        "../scripts/bin_contigs.py"


rule write_bins:
    input:
        contigs="<results>/contigs/{sample}/contigs.fa.gz",
        contig2bin="<results>/bins/{sample}/contig2bin.tsv",
    output:
        fasta=directory("<results>/bins/{sample}/fasta"),
    log:
        "<logs>/write_bins/{sample}.log",
    benchmark:
        "<benchmarks>/write_bins/{sample}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1200, 8),
        runtime=get_runtime(10, 60),
    params:
        version=stage_version("bin"),
    script:
        "../scripts/write_bins.py"

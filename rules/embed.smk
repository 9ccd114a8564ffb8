# rules of the embed stage


rule embed_contigs:
    input:
        contigs="<results>/contigs/{sample}/contigs.fa.gz",
    output:
        vectors="<results>/embeddings/{sample}/vectors.npy",
        contigs="<results>/embeddings/{sample}/contigs.txt",
        pieces="<results>/embeddings/{sample}/pieces.npz",
        manifest="<results>/embeddings/{sample}/manifest.json",
    log:
        "<logs>/embed_contigs/{sample}.log",
    benchmark:
        "<benchmarks>/embed_contigs/{sample}.tsv"
    conda:
        get_embed_env()
    threads: 2
    resources:
        mem_mb=get_memory(1000, 8),
        runtime=get_runtime(10, 60),
        gpu=get_gpus(),
    params:
        version=stage_version("embed"),
        model=config["embed"]["model"],
        both_strands=config["embed"]["both_strands"],
        device=config["embed"]["device"],
        shard_mbp=config["embed"]["shard_mbp"],
        n_pieces=config["embed"]["pieces"],
        min_piece=config["filter"]["min_length"],
    script:
        "../scripts/embed_contigs.py"

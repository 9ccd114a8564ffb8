# rules of the embed stage


rule fetch_model:
    output:
        record=f"<resources>/models/{model_folder_name(config['embed']['model'])}/source.json",
    log:
        "<logs>/fetch_model.log",
    benchmark:
        "<benchmarks>/fetch_model.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        model=config["embed"]["model"],
        revision=config["embed"]["revision"],
        trust_remote_code=config["embed"]["trust_remote_code"],
    script:
        "../scripts/fetch_model.py"


rule train_tnf_vae:
    input:
        contigs=expand("<results>/contigs/{sample}/contigs.fa.gz", sample=SAMPLES),
    output:
        weights="<results>/models/tnf-vae/model.safetensors",
        config="<results>/models/tnf-vae/config.json",
    log:
        "<logs>/train_tnf_vae.log",
    benchmark:
        "<benchmarks>/train_tnf_vae.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 2
    resources:
        mem_mb=get_memory(1500, 5),
        runtime=get_runtime(15, 720),
    params:
        version=stage_version("embed"),
    script:
        "../scripts/train_tnf_vae.py"


rule embed_contigs:
    input:
        contigs="<results>/contigs/{sample}/contigs.fa.gz",
        model=get_model_record,
    output:
        vectors="<results>/embeddings/{sample}/vectors.npy",
        contigs="<results>/embeddings/{sample}/contigs.txt",
        pieces="<results>/embeddings/{sample}/pieces.npz",
        cuts="<results>/embeddings/{sample}/cuts.npz" if REFERENCE else [],
        manifest="<results>/embeddings/{sample}/manifest.json",
    log:
        "<logs>/embed_contigs/{sample}.log",
    benchmark:
        "<benchmarks>/embed_contigs/{sample}.tsv"
    conda:
        get_embed_env()
    threads: get_embed_threads()
    resources:
        mem_mb=get_embed_memory(1000, 8),
        runtime=get_embed_runtime(10, 60),
        gpu=get_gpus(),
    params:
        version=stage_version("embed"),
        embedder=get_embed_params(),
        device=config["embed"]["device"],
        shard_mbp=config["embed"]["shard_mbp"],
        n_pieces=config["embed"]["pieces"],
        min_piece=config["filter"]["min_length"],
        cut_long=bool(REFERENCE),  # for the novelty calls
    script:
        "../scripts/embed_contigs.py"

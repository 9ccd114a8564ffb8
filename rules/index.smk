# rules of the index stage


rule embed_reference:
    input:
        table=config["reference"] or [],
        genomes=[genome.fasta for genome in REFERENCE.values()],
        model=get_model_record(),
    output:
        windows=temp("<results>/index/{reference}/windows/vectors.npy"),
        window_names=temp("<results>/index/{reference}/windows/contigs.txt"),
        window_manifest=temp("<results>/index/{reference}/windows/manifest.json"),
        pieces=temp("<results>/index/{reference}/pieces/vectors.npy"),
        piece_names=temp("<results>/index/{reference}/pieces/contigs.txt"),
        manifest=temp("<results>/index/{reference}/pieces/manifest.json"),
    log:
        "<logs>/embed_reference/{reference}.log",
    benchmark:
        "<benchmarks>/embed_reference/{reference}.tsv"
    conda:
        get_embed_env()
    threads: get_embed_threads()
    resources:
        mem_mb=get_embed_memory(1500, 2),
        runtime=get_embed_runtime(15, 60),
        gpu=get_gpus(),
    params:
        version=[stage_version("index"), stage_version("embed")],
        embedder=get_embed_params(),
        device=config["embed"]["device"],
        shard_mbp=config["embed"]["shard_mbp"],
        window=config["index"]["window"],
        pieces=config["index"]["calibration_pieces"],
        seed=config["index"]["seed"],
        min_length=config["novelty"]["min_length"],
    script:
        "../scripts/embed_reference.py"


rule build_index:
    input:
        table=config["reference"] or [],
        windows="<results>/index/{reference}/windows/vectors.npy",
        window_names="<results>/index/{reference}/windows/contigs.txt",
        window_manifest="<results>/index/{reference}/windows/manifest.json",
        pieces="<results>/index/{reference}/pieces/vectors.npy",
        piece_names="<results>/index/{reference}/pieces/contigs.txt",
        manifest="<results>/index/{reference}/pieces/manifest.json",
    output:
        index="<results>/index/{reference}/index.faiss",
        ids="<results>/index/{reference}/ids.tsv",
        calibration="<results>/index/{reference}/calibration.npz",
        manifest="<results>/index/{reference}/manifest.json",
    log:
        "<logs>/build_index/{reference}.log",
    benchmark:
        "<benchmarks>/build_index/{reference}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 2
    resources:
        mem_mb=get_memory(1500, 5),
        runtime=get_runtime(10, 30),
    params:
        version=[stage_version("index"), stage_version("novelty")],
        factory=config["index"]["factory"],
        pieces=config["index"]["calibration_pieces"],
        neighbours=config["novelty"]["neighbours"],
    script:
        "../scripts/build_index.py"

# rules of the index stage


rule embed_windows:
    input:
        table=get_reference_table,
        genomes=get_part_genomes,
        model=get_model_record,
    output:
        vectors=temp("<results>/index/{reference}/windows/{part}/vectors.npy"),
        names=temp("<results>/index/{reference}/windows/{part}/contigs.txt"),
        manifest=temp("<results>/index/{reference}/windows/{part}/manifest.json"),
    log:
        "<logs>/embed_windows/{reference}.{part}.log",
    benchmark:
        "<benchmarks>/embed_windows/{reference}.{part}.tsv"
    conda:
        get_embed_env()
    threads: get_embed_threads()
    resources:
        mem_mb=get_embed_memory(1500, 2),
        runtime=get_embed_runtime(15, 30),
        gpu=get_gpus(),
    params:
        version=[stage_version("index"), stage_version("embed")],
        names=get_part_names,
        embedder=get_embed_params(),
        device=config["embed"]["device"],
        shard_mbp=config["embed"]["shard_mbp"],
        window=config["index"]["window"],
    script:
        "../scripts/embed_windows.py"


# Pieces calibrate; an index that only grows does without them.
rule embed_pieces:
    input:
        table=get_reference_table,
        genomes=get_part_genomes,
        model=get_model_record,
    output:
        vectors=temp("<results>/index/{reference}/pieces/{part}/vectors.npy"),
        names=temp("<results>/index/{reference}/pieces/{part}/contigs.txt"),
        manifest=temp("<results>/index/{reference}/pieces/{part}/manifest.json"),
    log:
        "<logs>/embed_pieces/{reference}.{part}.log",
    benchmark:
        "<benchmarks>/embed_pieces/{reference}.{part}.tsv"
    conda:
        get_embed_env()
    threads: get_embed_threads()
    resources:
        mem_mb=get_embed_memory(1500, 2),
        runtime=get_embed_runtime(15, 60),
        gpu=get_gpus(),
    params:
        version=[stage_version("index"), stage_version("embed")],
        names=get_part_names,
        embedder=get_embed_params(),
        device=config["embed"]["device"],
        shard_mbp=config["embed"]["shard_mbp"],
        window=config["index"]["window"],
        pieces=config["index"]["calibration_pieces"],
        seed=config["index"]["seed"],
        min_length=config["novelty"]["min_length"],
    script:
        "../scripts/embed_pieces.py"


# Once, for all parts: they are filled from copies of it. An index that grows is its own training.
rule train_index:
    input:
        windows=get_part_files("windows"),
    output:
        trained=temp("<results>/index/{reference}/parts/trained.faiss"),
        growth=temp("<results>/index/{reference}/parts/growth.json"),
    log:
        "<logs>/train_index/{reference}.log",
    benchmark:
        "<benchmarks>/train_index/{reference}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt
        * training_mb(input.windows, config["index"]["factory"]),
        runtime=get_runtime(30, 10),
    params:
        version=stage_version("index"),
        options=get_index_options(),
    script:
        "../scripts/train_index.py"


rule fill_part:
    input:
        trained="<results>/index/{reference}/parts/trained.faiss",
        growth="<results>/index/{reference}/parts/growth.json",
        vectors="<results>/index/{reference}/windows/{part}/vectors.npy",
        names="<results>/index/{reference}/windows/{part}/contigs.txt",
        manifest="<results>/index/{reference}/windows/{part}/manifest.json",
    output:
        part=temp("<results>/index/{reference}/parts/{part}.faiss"),
        rows=temp("<results>/index/{reference}/parts/{part}.json"),
    log:
        "<logs>/fill_part/{reference}.{part}.log",
    benchmark:
        "<benchmarks>/fill_part/{reference}.{part}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 2
    resources:
        mem_mb=get_memory(1500, 3),
        runtime=get_runtime(10, 60),
    params:
        version=stage_version("index"),
    script:
        "../scripts/fill_part.py"


# The index that is there is extended where it can be, so its files are inputs of a kind.
rule build_index:
    input:
        table=get_reference_table,
        windows=get_part_files("windows"),
        parts=get_filled_parts,
    output:
        index=update(f"<results>/index/{{reference}}/{get_index_file()}"),
        ids=update("<results>/index/{reference}/ids.tsv"),
        manifest=update("<results>/index/{reference}/index.json"),
    log:
        "<logs>/build_index/{reference}.log",
    benchmark:
        "<benchmarks>/build_index/{reference}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt
        * building_mb(input.size_mb, bool(input.parts), config["index"]["factory"]),
        runtime=get_runtime(20, 30),
    params:
        version=stage_version("index"),
        options=get_index_options(),
    script:
        "../scripts/build_index.py"


rule calibrate_index:
    input:
        index=f"<results>/index/{{reference}}/{get_index_file()}",
        ids="<results>/index/{reference}/ids.tsv",
        manifest="<results>/index/{reference}/index.json",
        windows=get_part_files("windows"),
        pieces=get_part_files("pieces"),
        table=get_reference_table,
        genomes=get_reference_genomes,
        sketch="<results>/index/{reference}/sketch/manifest.json",
        sketch_hashes="<results>/index/{reference}/sketch/hashes.npy",
        sketch_genomes="<results>/index/{reference}/sketch/genomes.npy",
    output:
        calibration="<results>/index/{reference}/calibration.npz",
        manifest="<results>/index/{reference}/manifest.json",
    log:
        "<logs>/calibrate_index/{reference}.log",
    benchmark:
        "<benchmarks>/calibrate_index/{reference}.tsv"
    conda:
        get_device_env(config["index"]["device"])
    threads: 2
    resources:
        # Windows are read a block at a time, their names as a table, a store at a time; of the genomes those that
        # calibrate, one at a time; the sketch from end to end.
        mem_mb=get_memory(1500, 2, windows=0.25, genomes=0, sketch_hashes=0.1, sketch_genomes=0.1),
        runtime=get_runtime(10, 30, windows=5, genomes=1, sketch_hashes=5, sketch_genomes=5),
        gpu=count_gpus(config["index"]["device"]),
    params:
        version=[stage_version("index"), stage_version("novelty")],
        device=config["index"]["device"],
        pieces=config["index"]["calibration_pieces"],
        n_genomes=config["index"]["calibration_genomes"],
        neighbours=config["novelty"]["neighbours"],
        contamination=config["novelty"]["contamination"],
    script:
        "../scripts/calibrate_index.py"


# The index as reference.tsv now is, without the calibration that novelty calls need.
rule extend_index:
    input:
        f"<results>/index/{config['index']['name']}/index.json",

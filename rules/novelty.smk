# rules of the novelty stage


rule sketch_part:
    input:
        table=get_reference_table,
        genomes=get_part_genomes,
    output:
        hashes=temp("<results>/index/{reference}/sketch/parts/{part}/hashes.npy"),
        genomes=temp("<results>/index/{reference}/sketch/parts/{part}/genomes.npy"),
        manifest=temp("<results>/index/{reference}/sketch/parts/{part}/manifest.json"),
    log:
        "<logs>/sketch_part/{reference}.{part}.log",
    benchmark:
        "<benchmarks>/sketch_part/{reference}.{part}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1500, 3),
        runtime=get_runtime(15, 60),
    params:
        version=stage_version("novelty"),
        names=get_part_names,
        scale=config["novelty"]["sketch_scale"],
    script:
        "../scripts/sketch_part.py"


rule merge_sketches:
    input:
        parts=get_part_files("sketch/parts", "hashes.npy", "genomes.npy"),
    output:
        hashes="<results>/index/{reference}/sketch/hashes.npy",
        genomes="<results>/index/{reference}/sketch/genomes.npy",
        manifest="<results>/index/{reference}/sketch/manifest.json",
    log:
        "<logs>/merge_sketches/{reference}.log",
    benchmark:
        "<benchmarks>/merge_sketches/{reference}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(2000, 0),
        runtime=get_runtime(10, 5),
    params:
        version=stage_version("novelty"),
    script:
        "../scripts/merge_sketches.py"


rule call_novelty:
    input:
        store="<results>/embeddings/{sample}/manifest.json",
        vectors="<results>/embeddings/{sample}/vectors.npy",
        cuts="<results>/embeddings/{sample}/cuts.npz",
        status="<results>/contigs/{sample}/status.tsv",
        contig2bin="<results>/bins/{sample}/contig2bin.tsv",
        index=f"<results>/index/{config['index']['name']}/manifest.json",
        faiss=f"<results>/index/{config['index']['name']}/{get_index_file()}",
        ids=f"<results>/index/{config['index']['name']}/ids.tsv",
        calibration=f"<results>/index/{config['index']['name']}/calibration.npz",
        sketch=get_sketch("manifest.json"),
        sketch_hashes=get_sketch("hashes.npy"),
        sketch_genomes=get_sketch("genomes.npy"),
        fasta="<results>/contigs/{sample}/contigs.fa.gz",
    output:
        contigs="<results>/novelty/{sample}/contigs.tsv",
        bins="<results>/novelty/{sample}/bins.tsv",
    log:
        "<logs>/call_novelty/{sample}.log",
    benchmark:
        "<benchmarks>/call_novelty/{sample}.tsv"
    conda:
        get_device_env(config["index"]["device"])
    threads: 2
    resources:
        # The index is mapped, and scanned for every block of contigs; the sketch is read from end to end.
        mem_mb=get_memory(1500, 3, faiss=2, ids=0.5, sketch_hashes=0.1, sketch_genomes=0.1),
        runtime=get_runtime(10, 60, sketch_hashes=5, sketch_genomes=5),
        gpu=count_gpus(config["index"]["device"]),
    params:
        version=[stage_version("novelty"), stage_version("index")],
        settings=get_novelty_settings(),
        device=config["index"]["device"],
    script:
        "../scripts/call_novelty.py"


# Error rates, power and distances, measured on clades of the reference that the calibration does not see.
rule measure_calibration:
    input:
        table=get_reference_table,
        genomes=get_reference_genomes,
        index=f"<results>/index/{config['index']['name']}/manifest.json",
        faiss=f"<results>/index/{config['index']['name']}/{get_index_file()}",
        ids=f"<results>/index/{config['index']['name']}/ids.tsv",
        calibration=f"<results>/index/{config['index']['name']}/calibration.npz",
    output:
        strata="<results>/novelty/calibration/strata.tsv",
        rates="<results>/novelty/calibration/rates.tsv",
        distances="<results>/novelty/calibration/distances.tsv",
        identities="<results>/novelty/calibration/identities.tsv",
    log:
        "<logs>/measure_calibration.log",
    benchmark:
        "<benchmarks>/measure_calibration.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        # A few hundred genomes are read, and of the index what it is of.
        mem_mb=get_memory(1500, 3, genomes=0, faiss=0, ids=0.5),
        runtime=get_runtime(15, 30, genomes=0, faiss=1, ids=1),
    params:
        version=[stage_version("novelty"), stage_version("index")],
        settings=get_novelty_settings(),
        seed=config["index"]["seed"],
    script:
        "../scripts/measure_calibration.py"


# Novel bins of all samples as proposed taxa, looked up in the archives of earlier runs; this run's archive.
rule propose_taxa:
    input:
        novelty=expand("<results>/novelty/{sample}/bins.tsv", sample=SAMPLES),
        contig2bin=expand("<results>/bins/{sample}/contig2bin.tsv", sample=SAMPLES),
        stores=expand("<results>/embeddings/{sample}/manifest.json", sample=SAMPLES),
        vectors=expand("<results>/embeddings/{sample}/vectors.npy", sample=SAMPLES),
        fasta=expand("<results>/bins/{sample}/fasta", sample=SAMPLES),
        index=f"<results>/index/{config['index']['name']}/manifest.json",
        faiss=f"<results>/index/{config['index']['name']}/{get_index_file()}",
        ids=f"<results>/index/{config['index']['name']}/ids.tsv",
        calibration=f"<results>/index/{config['index']['name']}/calibration.npz",
        archives=[f"{folder}/novel_bins.tsv" for folder in config["novelty"]["archives"].values()],
    output:
        table="<results>/novelty/novel_taxa.tsv",
        archive="<results>/novelty/archive/novel_bins.tsv",
        sketches=directory("<results>/novelty/archive/sketches"),
        manifest="<results>/novelty/archive/manifest.json",
    log:
        "<logs>/propose_taxa.log",
    benchmark:
        "<benchmarks>/propose_taxa.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1500, 3, faiss=0, ids=0.5),
        runtime=get_runtime(15, 60, faiss=1, ids=1),
    params:
        version=[stage_version("novelty"), stage_version("index")],
        samples=list(SAMPLES),
        archives=config["novelty"]["archives"],
    script:
        "../scripts/propose_taxa.py"

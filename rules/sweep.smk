# rules of the index sweep: kinds of index measured on the reference itself, with clades held out
SWEEP = get_sweep_configurations()


wildcard_constraints:
    configuration="|".join(map(re.escape, SWEEP)),


rule make_sweep:
    input:
        table=get_reference_table,
        genomes=get_reference_genomes,
        model=get_model_record,
    output:
        windows="<results>/sweep/windows.fa.gz",
        queries="<results>/sweep/queries.fa.gz",
        window_vectors="<results>/sweep/windows/vectors.npy",
        window_names="<results>/sweep/windows/contigs.txt",
        window_manifest="<results>/sweep/windows/manifest.json",
        query_vectors="<results>/sweep/queries/vectors.npy",
        query_names="<results>/sweep/queries/contigs.txt",
        query_manifest="<results>/sweep/queries/manifest.json",
        truth="<results>/sweep/truth.npz",
    log:
        "<logs>/make_sweep.log",
    benchmark:
        "<benchmarks>/make_sweep.tsv"
    conda:
        get_embed_env()
    threads: get_embed_threads()
    resources:
        mem_mb=get_embed_memory(1500, 8),
        runtime=get_embed_runtime(15, 60),
        gpu=get_gpus(),
    params:
        version=[stage_version(stage) for stage in ("sweep", "embed", "index")],
        embedder=get_embed_params(),
        device=config["embed"]["device"],
        options=get_sweep_options(),
    script:
        "../scripts/make_sweep.py"


# All cores, so that no two are timed at once.
rule measure_index:
    input:
        table=get_reference_table,
        windows="<results>/sweep/windows.fa.gz",
        queries="<results>/sweep/queries.fa.gz",
        window_vectors="<results>/sweep/windows/vectors.npy",
        query_vectors="<results>/sweep/queries/vectors.npy",
        truth="<results>/sweep/truth.npz",
    output:
        measures="<results>/sweep/configurations/{configuration}.tsv",
    log:
        "<logs>/measure_index/{configuration}.log",
    benchmark:
        "<benchmarks>/measure_index/{configuration}.tsv"
    conda:
        lambda wildcards: (
            "../envs/mmseqs.yaml" if wildcards.configuration == "MMseqs2" else "../envs/novabin.yaml"
        )
    threads: get_all_cores
    resources:
        mem_mb=get_memory(3000, 8),
        runtime=get_runtime(60, 600),
    params:
        version=[stage_version("sweep"), stage_version("index")],
        factory=lambda wildcards: SWEEP[wildcards.configuration],
    script:
        "../scripts/measure_index.py"


rule sweep_index:
    input:
        table=get_reference_table,
        truth="<results>/sweep/truth.npz",
        measures=expand("<results>/sweep/configurations/{configuration}.tsv", configuration=SWEEP),
    output:
        table="<results>/sweep/sweep.tsv",
        page="<results>/sweep/sweep.md",
        recommendation="<results>/sweep/recommendation.yaml",
        plots=directory("<results>/sweep/plots"),
    log:
        "<logs>/sweep_index.log",
    benchmark:
        "<benchmarks>/sweep_index.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1500, 8),
        runtime=10,
    params:
        version=stage_version("sweep"),
        recall=config["sweep"]["recall"],
    script:
        "../scripts/sweep_index.py"

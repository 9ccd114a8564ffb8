# rules of the scoreboard: how well embedders tell the species of labelled sequences apart
SCOREBOARD_EMBEDDERS = get_scoreboard_embedders()


wildcard_constraints:
    set="[A-Za-z0-9][A-Za-z0-9._-]*",
    embedder="|".join(map(re.escape, SCOREBOARD_EMBEDDERS)),


rule make_labelled_set:
    input:
        unpack(get_set_source),
    output:
        sequences="<results>/scoreboard/{set}/sequences.tsv.gz",
        facts="<results>/scoreboard/{set}/set.json",
    log:
        "<logs>/make_labelled_set/{set}.log",
    benchmark:
        "<benchmarks>/make_labelled_set/{set}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1000, 12),
        runtime=get_runtime(10, 60),
    params:
        version=stage_version("scoreboard"),
        source=lambda wildcards: vars(get_sets()[wildcards.set]),
    script:
        "../scripts/make_labelled_set.py"


rule embed_labelled_set:
    input:
        sequences="<results>/scoreboard/{set}/sequences.tsv.gz",
        model=get_scoreboard_record,
    output:
        vectors="<results>/scoreboard/{set}/{embedder}/vectors.npz",
    log:
        "<logs>/embed_labelled_set/{set}.{embedder}.log",
    benchmark:
        "<benchmarks>/embed_labelled_set/{set}.{embedder}.tsv"
    conda:
        get_embed_env()
    threads: 1
    resources:
        mem_mb=get_scoreboard_memory,
        runtime=get_scoreboard_runtime,
        gpu=get_scoreboard_gpus,
    params:
        version=[stage_version("scoreboard"), stage_version("embed")],
        embedder=get_scoreboard_params,
        device=config["embed"]["device"],
        shard_mbp=config["embed"]["shard_mbp"],
        lengths=config["scoreboard"]["lengths"],
    script:
        "../scripts/embed_labelled_set.py"


rule score_embedding:
    input:
        vectors="<results>/scoreboard/{set}/{embedder}/vectors.npz",
    output:
        scores="<results>/scoreboard/{set}/{embedder}/scores.tsv",
    log:
        "<logs>/score_embedding/{set}.{embedder}.log",
    benchmark:
        "<benchmarks>/score_embedding/{set}.{embedder}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1000, 4),
        runtime=get_runtime(30, 600),
    params:
        version=stage_version("scoreboard"),
        shots=config["scoreboard"]["shots"],
        seeds=config["scoreboard"]["seeds"],
    script:
        "../scripts/score_embedding.py"


rule evaluate_embeddings:
    input:
        scores=get_scoreboard_scores,
        facts=get_scoreboard_facts,
    output:
        table="<results>/scoreboard/scoreboard.tsv",
        text="<results>/scoreboard/scoreboard.md",
        page=report("<results>/scoreboard/scoreboard.html", category="Scoreboard"),
        plots=directory("<results>/scoreboard/plots"),
    log:
        "<logs>/evaluate_embeddings.log",
    benchmark:
        "<benchmarks>/evaluate_embeddings.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1000, 10),
        runtime=10,
    params:
        version=stage_version("scoreboard"),
        embedders=list(SCOREBOARD_EMBEDDERS),
        shots=config["scoreboard"]["shots"],
        not_run=get_scoreboard_not_run(),
    script:
        "../scripts/evaluate_embeddings.py"

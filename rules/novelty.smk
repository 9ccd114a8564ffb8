# rules of the novelty stage


rule call_novelty:
    input:
        store="<results>/embeddings/{sample}/manifest.json",
        vectors="<results>/embeddings/{sample}/vectors.npy",
        status="<results>/contigs/{sample}/status.tsv",
        contig2bin="<results>/bins/{sample}/contig2bin.tsv",
        index=f"<results>/index/{config['index']['name']}/manifest.json",
        faiss=f"<results>/index/{config['index']['name']}/{get_index_file()}",
        ids=f"<results>/index/{config['index']['name']}/ids.tsv",
        calibration=f"<results>/index/{config['index']['name']}/calibration.npz",
    output:
        contigs="<results>/novelty/{sample}/contigs.tsv",
        bins="<results>/novelty/{sample}/bins.tsv",
    log:
        "<logs>/call_novelty/{sample}.log",
    benchmark:
        "<benchmarks>/call_novelty/{sample}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 2
    resources:
        mem_mb=get_memory(1500, 3),
        runtime=get_runtime(10, 60),
    params:
        version=[stage_version("novelty"), stage_version("index")],
        alpha=config["novelty"]["alpha"],
        min_length=config["novelty"]["min_length"],
        min_calibration=config["novelty"]["min_calibration"],
    script:
        "../scripts/call_novelty.py"

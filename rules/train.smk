# rules of the train stage: an embedder that is trained to tell species apart


localrules:
    train,


rule train:
    input:
        model="<results>/models/trained/model.safetensors",


rule train_embedder:
    input:
        unpack(get_training_inputs("train")),
    output:
        config="<results>/models/trained/config.json",
        weights="<results>/models/trained/model.safetensors",
        record="<results>/models/trained/training.json",
        history="<results>/models/trained/training/history.tsv",
        curve="<results>/models/trained/training/history.svg",
    log:
        "<logs>/train_embedder.log",
    benchmark:
        "<benchmarks>/train_embedder.tsv"
    conda:
        get_device_env(config["train"]["device"])
    threads: 8
    resources:
        mem_mb=get_memory(12000, 5 * max(1, count_gpus(config["train"]["device"]))),
        runtime=2880,
        gpu=count_gpus(config["train"]["device"]),
    params:
        version=stage_version("train"),
        model_state=model_state(config["train"]["model"]),
        options=get_section("train"),
    script:
        "../scripts/train_embedder.py"

# rules of pre-training: a language model of one's own, from nothing


localrules:
    pretrain,


rule pretrain:
    input:
        model="<results>/models/pretrained/model.safetensors",


rule pretrain_model:
    input:
        unpack(get_training_inputs("pretrain")),
    output:
        config="<results>/models/pretrained/config.json",
        tokenizer="<results>/models/pretrained/tokenizer.json",
        tokenizer_config="<results>/models/pretrained/tokenizer_config.json",
        weights="<results>/models/pretrained/model.safetensors",
        record="<results>/models/pretrained/training.json",
        history="<results>/models/pretrained/training/history.tsv",
        curve="<results>/models/pretrained/training/history.svg",
    log:
        "<logs>/pretrain_model.log",
    benchmark:
        "<benchmarks>/pretrain_model.tsv"
    conda:
        get_device_env(config["pretrain"]["device"])
    threads: 8
    resources:
        mem_mb=get_memory(12000, 5 * max(1, count_gpus(config["pretrain"]["device"]))),
        runtime=2880,
        gpu=count_gpus(config["pretrain"]["device"]),
    params:
        version=stage_version("train"),
        options=get_section("pretrain"),
    script:
        "../scripts/pretrain_model.py"

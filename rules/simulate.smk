# rules of the simulate stage: a community with known bins and novelty, and the tables to run novabin on it
SIMULATED_LIBRARIES = [f"library_{i + 1}" for i in range(config["simulate"]["n_libraries"])]
SIMULATED_READS = [
    f"<results>/simulation/reads/{library}_R{mate}.fastq.gz"
    for library in SIMULATED_LIBRARIES
    for mate in (1, 2)
    if config["simulate"]["read_pairs"]
]


localrules:
    simulate,


rule simulate:
    input:
        config="<results>/simulation/config.yaml",


rule simulate_community:
    input:
        # Genomes of the user's instead of evolved ones; the user's reference then decides what is novel.
        genomes=config["simulate"]["genomes"] or [],
        reference=config["reference"] if config["simulate"]["genomes"] and config["reference"] else [],
    output:
        contigs="<results>/simulation/contigs.fa.gz",
        depth=expand("<results>/simulation/depth/{library}.tsv", library=SIMULATED_LIBRARIES),
        reads=SIMULATED_READS,
        reference=(
            []
            if config["simulate"]["genomes"]
            else [directory("<results>/simulation/reference"), "<results>/simulation/reference.tsv"]
        ),
        contig_truth="<results>/simulation/truth/contigs.tsv",
        genome_truth="<results>/simulation/truth/genomes.tsv",
        gold_standard="<results>/simulation/truth/gold_standard.binning",
        samples="<results>/simulation/samples.tsv",
        libraries="<results>/simulation/libraries.tsv",
        config="<results>/simulation/config.yaml",
    log:
        "<logs>/simulate_community.log",
    benchmark:
        "<benchmarks>/simulate_community.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(2000, 10),
        runtime=get_runtime(20, 60),
    params:
        version=stage_version("simulate"),
        options=get_section("simulate"),
    script:
        "../scripts/simulate_community.py"

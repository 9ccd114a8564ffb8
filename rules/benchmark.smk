# rules of the benchmark stage: novabin and other binners on the same simulated sets
BENCHMARK_SETS = get_benchmark_sets()
check_benchmark_genomes()
BENCHMARK_FOLDER = "<results>/benchmark_binners/{community}/seed_{seed}"


wildcard_constraints:
    community="|".join(map(re.escape, BENCHMARK_SETS)),
    seed="[0-9]+",
    binner="|".join([NOVABIN, WITH_REFERENCE, *PEERS]),


rule make_benchmark_set:
    input:
        unpack(get_benchmark_genomes),
    output:
        contigs="<results>/benchmark_binners/{community}/seed_{seed}/contigs.fa.gz",
        truth="<results>/benchmark_binners/{community}/seed_{seed}/truth.tsv",
    log:
        "<logs>/make_benchmark_set/{community}.{seed}.log",
    benchmark:
        "<benchmarks>/make_benchmark_set/{community}.{seed}.tsv"
    wildcard_constraints:
        community=get_benchmark_pattern("assembled", False),
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1500, 20),
        runtime=get_runtime(20, 60),
    params:
        version=stage_version("simulate"),
        set=lambda wildcards: BENCHMARK_SETS[wildcards.community],
    script:
        "../scripts/make_benchmark_set.py"


rule draw_benchmark_depth:
    input:
        unpack(get_benchmark_genomes),
    output:
        depth="<results>/benchmark_binners/{community}/seed_{seed}/depth.tsv",
        halves=directory("<results>/benchmark_binners/{community}/seed_{seed}/halves"),
    log:
        "<logs>/draw_benchmark_depth/{community}.{seed}.log",
    benchmark:
        "<benchmarks>/draw_benchmark_depth/{community}.{seed}.tsv"
    wildcard_constraints:
        community=get_benchmark_pattern("reads", False),
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1500, 20),
        runtime=get_runtime(20, 60),
    params:
        version=stage_version("simulate"),
        set=lambda wildcards: BENCHMARK_SETS[wildcards.community],
    script:
        "../scripts/draw_benchmark_depth.py"


rule draw_benchmark_reads:
    input:
        unpack(get_benchmark_genomes),
    output:
        reads_1=temp("<results>/benchmark_binners/{community}/seed_{seed}/library_{number}_R1.fastq.gz"),
        reads_2=temp("<results>/benchmark_binners/{community}/seed_{seed}/library_{number}_R2.fastq.gz"),
    log:
        "<logs>/draw_benchmark_reads/{community}.{seed}.{number}.log",
    benchmark:
        "<benchmarks>/draw_benchmark_reads/{community}.{seed}.{number}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(2500, 20),
        runtime=get_runtime(60, 600),
    params:
        version=stage_version("simulate"),
        set=lambda wildcards: BENCHMARK_SETS[wildcards.community],
    script:
        "../scripts/draw_benchmark_reads.py"


# MEGAHIT takes lists of files parted by commas; a killed job leaves its folder behind.
rule assemble_benchmark_reads:
    input:
        reads_1=get_library_files("_R1.fastq.gz"),
        reads_2=get_library_files("_R2.fastq.gz"),
    output:
        assembly=temp("<results>/benchmark_binners/{community}/seed_{seed}/assembly.fa"),
    log:
        "<logs>/assemble_benchmark_reads/{community}.{seed}.log",
    benchmark:
        "<benchmarks>/assemble_benchmark_reads/{community}.{seed}.tsv"
    conda:
        "../envs/megahit.yaml"
    threads: 8
    resources:
        mem_mb=get_memory(4000, 10),
        runtime=get_runtime(60, 600),
    params:
        reads_1=lambda wildcards, input: ",".join(input.reads_1),
        reads_2=lambda wildcards, input: ",".join(input.reads_2),
    shell:
        """
        rm -rf {output.assembly:q}.parts
        megahit -1 {params.reads_1:q} -2 {params.reads_2:q} -t {threads} -m $(({resources.mem_mb} * 1000000)) \
            --min-contig-len 500 -o {output.assembly:q}.parts >{log:q} 2>&1
        mv {output.assembly:q}.parts/final.contigs.fa {output.assembly:q}
        rm -rf {output.assembly:q}.parts
        """


rule label_assembly:
    input:
        unpack(get_benchmark_genomes),
        assembly="<results>/benchmark_binners/{community}/seed_{seed}/assembly.fa",
    output:
        contigs="<results>/benchmark_binners/{community}/seed_{seed}/contigs.fa.gz",
        truth="<results>/benchmark_binners/{community}/seed_{seed}/truth.tsv",
    log:
        "<logs>/label_assembly/{community}.{seed}.log",
    benchmark:
        "<benchmarks>/label_assembly/{community}.{seed}.tsv"
    wildcard_constraints:
        community=get_benchmark_pattern("assembled", True),
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(2500, 20),
        runtime=get_runtime(20, 60),
    params:
        version=[stage_version("simulate"), stage_version("benchmark")],
        set=lambda wildcards: BENCHMARK_SETS[wildcards.community],
    script:
        "../scripts/label_assembly.py"


# As rule map_short_reads; all binners get what is found here.
use rule map_short_reads as map_benchmark_reads with:
    input:
        reference="<results>/benchmark_binners/{community}/seed_{seed}/contigs.fa.gz",
        reads=[
            "<results>/benchmark_binners/{community}/seed_{seed}/library_{number}_R1.fastq.gz",
            "<results>/benchmark_binners/{community}/seed_{seed}/library_{number}_R2.fastq.gz",
        ],
    output:
        bam=temp("<results>/benchmark_binners/{community}/seed_{seed}/library_{number}.bam"),
        bam_index=temp("<results>/benchmark_binners/{community}/seed_{seed}/library_{number}.bam.bai"),
    log:
        "<logs>/map_benchmark_reads/{community}.{seed}.{number}.log",
    benchmark:
        "<benchmarks>/map_benchmark_reads/{community}.{seed}.{number}.tsv"
    wildcard_constraints:
        number="[0-9]+",


rule measure_benchmark_depth:
    input:
        contigs="<results>/benchmark_binners/{community}/seed_{seed}/contigs.fa.gz",
        bams=get_library_files(".bam"),
        indexes=get_library_files(".bam.bai"),
    output:
        depth="<results>/benchmark_binners/{community}/seed_{seed}/depth.tsv",
    log:
        "<logs>/measure_benchmark_depth/{community}.{seed}.log",
    benchmark:
        "<benchmarks>/measure_benchmark_depth/{community}.{seed}.tsv"
    wildcard_constraints:
        community=get_benchmark_pattern("reads", True),
    conda:
        "../envs/novabin.yaml"
    threads: 4
    resources:
        mem_mb=get_memory(2000, 0),
        runtime=get_runtime(10, 30),
    params:
        version=stage_version("depth"),
        cut={key: config["depth"][key] for key in ("min_identity", "max_edge", "min_mapq")},
    script:
        "../scripts/measure_benchmark_depth.py"


# One binner at a time: each job asks for all cores, so that no other one disturbs what is measured.
rule run_binner:
    input:
        unpack(get_binner_inputs),
    output:
        clusters="<results>/benchmark_binners/{community}/seed_{seed}/{binner}/clusters.tsv",
        usage="<results>/benchmark_binners/{community}/seed_{seed}/{binner}/usage.json",
    log:
        "<logs>/run_binner/{community}.{seed}.{binner}.log",
    benchmark:
        "<benchmarks>/run_binner/{community}.{seed}.{binner}.tsv"
    conda:
        get_binner_env
    threads: get_all_cores
    resources:
        mem_mb=get_memory(4000, 60),
        runtime=get_runtime(240, 2000),
    params:
        version=get_binner_version,
        program=get_binner_program,
        task=get_binner_task,
    script:
        "../scripts/run_binner.py"


rule score_binner:
    input:
        clusters="<results>/benchmark_binners/{community}/seed_{seed}/{binner}/clusters.tsv",
        usage="<results>/benchmark_binners/{community}/seed_{seed}/{binner}/usage.json",
        truth="<results>/benchmark_binners/{community}/seed_{seed}/truth.tsv",
    output:
        scores="<results>/benchmark_binners/{community}/seed_{seed}/{binner}/scores.tsv",
        genomes="<results>/benchmark_binners/{community}/seed_{seed}/{binner}/genomes.tsv",
    log:
        "<logs>/score_binner/{community}.{seed}.{binner}.log",
    benchmark:
        "<benchmarks>/score_binner/{community}.{seed}.{binner}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1000, 30),
        runtime=get_runtime(10, 60),
    params:
        version=stage_version("benchmark"),
        min_bin_length=config["benchmark"]["min_bin_length"],
    script:
        "../scripts/score_binner.py"


rule describe_benchmark_genomes:
    input:
        contigs="<results>/benchmark_binners/{community}/seed_{seed}/contigs.fa.gz",
        depth="<results>/benchmark_binners/{community}/seed_{seed}/depth.tsv",
        truth="<results>/benchmark_binners/{community}/seed_{seed}/truth.tsv",
    output:
        facts="<results>/benchmark_binners/{community}/seed_{seed}/facts.tsv",
    log:
        "<logs>/describe_benchmark_genomes/{community}.{seed}.log",
    benchmark:
        "<benchmarks>/describe_benchmark_genomes/{community}.{seed}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1500, 20),
        runtime=get_runtime(20, 60),
    params:
        version=stage_version("benchmark"),
    script:
        "../scripts/describe_benchmark_genomes.py"


rule benchmark_binners:
    input:
        scores=[
            f"<results>/benchmark_binners/{name}/seed_{seed}/{binner}/scores.tsv"
            for name, seed, binner in get_benchmark_runs()
        ],
        genomes=[
            f"<results>/benchmark_binners/{name}/seed_{seed}/{binner}/genomes.tsv"
            for name, seed, binner in get_benchmark_runs()
        ],
        facts=expand(
            "<results>/benchmark_binners/{name}/seed_{seed}/facts.tsv",
            name=BENCHMARK_SETS,
            seed=config["benchmark"]["seeds"],
        ),
    output:
        table="<results>/benchmark_binners/binning.tsv",
        lost="<results>/benchmark_binners/lost.tsv",
        text="<results>/benchmark_binners/binning.md",
        plot=report(
            "<results>/benchmark_binners/binning.svg",
            category="Binners",
            labels={"plot": "genomes recovered, time and memory"},
        ),
    log:
        "<logs>/benchmark_binners.log",
    benchmark:
        "<benchmarks>/benchmark_binners.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1000, 10),
        runtime=10,
    params:
        version=stage_version("benchmark"),
        sets=BENCHMARK_SETS,
        min_bin_length=config["benchmark"]["min_bin_length"],
        not_run=get_benchmark_not_run(),
    script:
        "../scripts/benchmark_binners.py"

# rules of the filter stage


rule filter_contigs:
    input:
        contigs=lambda wildcards: SAMPLES[wildcards.sample].contigs,
    output:
        contigs="<results>/contigs/{sample}/contigs.fa.gz",
        status="<results>/contigs/{sample}/status.tsv",
    log:
        "<logs>/filter_contigs/{sample}.log",
    benchmark:
        "<benchmarks>/filter_contigs/{sample}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1000, 1),
        runtime=get_runtime(10, 20),
    params:
        version=stage_version("filter"),
        min_length=config["filter"]["min_length"],
        max_n_fraction=config["filter"]["max_n_fraction"],
    script:
        "../scripts/filter_contigs.py"


# fastp and filtlong cut a damaged file or an unequal pair short and end well: so the input is checked first.
rule check_reads:
    input:
        reads=get_reads,
    output:
        counts="<results>/reads/{library}/input.tsv",
    log:
        "<logs>/check_reads/{library}.log",
    benchmark:
        "<benchmarks>/check_reads/{library}.tsv"
    wildcard_constraints:
        library=get_library_pattern("paired", "single", "long"),
    conda:
        "../envs/novabin.yaml"
    threads: 2
    resources:
        mem_mb=get_memory(500, 0),
        runtime=get_runtime(10, 10),
    params:
        version=stage_version("filter"),
    script:
        "../scripts/check_reads.py"


rule filter_paired_reads:
    input:
        reads=get_reads,
        counts="<results>/reads/{library}/input.tsv",
    output:
        reads_1=temp("<results>/reads/{library}/reads_1.fastq.gz"),
        reads_2=temp("<results>/reads/{library}/reads_2.fastq.gz"),
        report="<results>/reads/{library}/fastp.json",
    log:
        "<logs>/filter_paired_reads/{library}.log",
    benchmark:
        "<benchmarks>/filter_paired_reads/{library}.tsv"
    wildcard_constraints:
        library=get_library_pattern("paired"),
    conda:
        "../envs/reads.yaml"
    threads: 4
    resources:
        mem_mb=get_memory(3000, 0),
        runtime=get_runtime(20, 20),
    params:
        min_quality=config["filter"]["short_reads"]["min_quality"],
        min_length=config["filter"]["short_reads"]["min_length"],
    shell:
        # fastp refuses a .gz file of 0 bytes; where it cannot write all, it ends well nevertheless.
        """
        first={input.reads[0]:q}
        [ -s "$first" ] || first=/dev/null
        second={input.reads[1]:q}
        [ -s "$second" ] || second=/dev/null
        fastp --in1 "$first" --in2 "$second" --out1 {output.reads_1:q} --out2 {output.reads_2:q} \
            --qualified_quality_phred {params.min_quality} --length_required {params.min_length} \
            --thread {threads} --compression 1 --json {output.report:q} --html /dev/null >{log:q} 2>&1
        for file in {output.reads_1:q} {output.reads_2:q}; do
            if [ -s "$file" ] && ! gzip -t "$file" 2>>{log:q}; then
                echo "The filtered reads are not whole: is the disk full? Free space and run again." >>{log:q}
                exit 1
            fi
        done
        """


rule filter_single_reads:
    input:
        reads=get_reads,
        counts="<results>/reads/{library}/input.tsv",
    output:
        reads=temp("<results>/reads/{library}/reads.fastq.gz"),
        report="<results>/reads/{library}/fastp.json",
    log:
        "<logs>/filter_single_reads/{library}.log",
    benchmark:
        "<benchmarks>/filter_single_reads/{library}.tsv"
    wildcard_constraints:
        library=get_library_pattern("single"),
    conda:
        "../envs/reads.yaml"
    threads: 4
    resources:
        mem_mb=get_memory(3000, 0),
        runtime=get_runtime(20, 20),
    params:
        min_quality=config["filter"]["short_reads"]["min_quality"],
        min_length=config["filter"]["short_reads"]["min_length"],
    shell:
        # fastp refuses a .gz file of 0 bytes; where it cannot write all, it ends well nevertheless.
        """
        reads={input.reads[0]:q}
        [ -s "$reads" ] || reads=/dev/null
        fastp --in1 "$reads" --out1 {output.reads:q} \
            --qualified_quality_phred {params.min_quality} --length_required {params.min_length} \
            --thread {threads} --compression 1 --json {output.report:q} --html /dev/null >{log:q} 2>&1
        for file in {output.reads:q}; do
            if [ -s "$file" ] && ! gzip -t "$file" 2>>{log:q}; then
                echo "The filtered reads are not whole: is the disk full? Free space and run again." >>{log:q}
                exit 1
            fi
        done
        """


rule filter_long_reads:
    input:
        reads=get_reads,
        counts="<results>/reads/{library}/input.tsv",
    output:
        reads=temp("<results>/reads/{library}/long_reads.fastq.gz"),
    log:
        "<logs>/filter_long_reads/{library}.log",
    benchmark:
        "<benchmarks>/filter_long_reads/{library}.tsv"
    wildcard_constraints:
        library=get_library_pattern("long"),
    conda:
        "../envs/reads.yaml"
    threads: 2
    resources:
        mem_mb=get_memory(1000, 0.5),
        runtime=get_runtime(20, 60),
    params:
        thresholds=get_filtlong_thresholds(),
    shell:
        "(filtlong {params.thresholds} {input.reads:q} | gzip -1 > {output.reads:q}) 2> {log:q}"

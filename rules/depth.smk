# rules of the depth stage


# Reads are mapped to short contigs too: those that belong there would else raise the depth of others.
rule write_reference:
    input:
        assembly=lambda wildcards: SAMPLES[wildcards.sample].contigs,
    output:
        # Kept: made anew for another library, it would have the reads of all mapped once more.
        reference="<results>/depth/{sample}/reference.fa.gz",
    log:
        "<logs>/write_reference/{sample}.log",
    benchmark:
        "<benchmarks>/write_reference/{sample}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1000, 1),
        runtime=get_runtime(10, 20),
    params:
        version=stage_version("depth"),
    script:
        "../scripts/write_reference.py"


rule map_short_reads:
    input:
        reference="<results>/depth/{sample}/reference.fa.gz",
        reads=get_filtered_reads,
    output:
        bam=get_bam_output("<results>/depth/{sample}/{library}.bam"),
        bam_index=get_bam_output("<results>/depth/{sample}/{library}.bam.bai"),
    log:
        "<logs>/map_short_reads/{sample}/{library}.log",
    benchmark:
        "<benchmarks>/map_short_reads/{sample}/{library}.tsv"
    wildcard_constraints:
        library=get_library_pattern("paired", "single"),
    conda:
        "../envs/mapping.yaml"
    threads: 8
    resources:
        mem_mb=get_mapping_memory,
        runtime=get_runtime(20, 60),
    shell:
        # One index of all contigs (-I), or the header would lack some. Sorting gets a quarter of threads and memory.
        # A killed job leaves parts of its sorting behind.
        """
        rm -f {output.bam:q}.part.*.bam
        sorters=$(({threads} / 4 + 1))
        (minimap2 -ax sr -I 1000G --secondary=no -t {threads} {input.reference:q} {input.reads:q} \
            | samtools sort -@ $sorters -m $(({resources.mem_mb} / 4 / sorters))M -T {output.bam:q}.part \
                --write-index -o {output.bam:q}##idx##{output.bam_index:q} -) 2>{log:q}
        """


rule map_long_reads:
    input:
        reference="<results>/depth/{sample}/reference.fa.gz",
        reads="<results>/reads/{library}/long_reads.fastq.gz",
    output:
        bam=get_bam_output("<results>/depth/{sample}/{library}.bam"),
        bam_index=get_bam_output("<results>/depth/{sample}/{library}.bam.bai"),
    log:
        "<logs>/map_long_reads/{sample}/{library}.log",
    benchmark:
        "<benchmarks>/map_long_reads/{sample}/{library}.tsv"
    wildcard_constraints:
        library=get_library_pattern("long"),
    conda:
        "../envs/mapping.yaml"
    threads: 8
    resources:
        mem_mb=get_mapping_memory,
        runtime=get_runtime(20, 60),
    params:
        preset=lambda wildcards: f"map-{LIBRARIES[wildcards.library].platform}",
    shell:
        # As above; 100 Mbp of reads in memory at a time (-K).
        """
        rm -f {output.bam:q}.part.*.bam
        sorters=$(({threads} / 4 + 1))
        (minimap2 -ax {params.preset} -I 1000G -K 100M --secondary=no -t {threads} {input.reference:q} {input.reads:q} \
            | samtools sort -@ $sorters -m $(({resources.mem_mb} / 4 / sorters))M -T {output.bam:q}.part \
                --write-index -o {output.bam:q}##idx##{output.bam_index:q} -) 2>{log:q}
        """


rule measure_depth:
    input:
        unpack(get_depth_source),
        status="<results>/contigs/{sample}/status.tsv",
    output:
        # Kept: without it a new library of the group would have the others' reads mapped once more.
        depth="<results>/depth/{sample}/libraries/{library}.tsv",
    log:
        "<logs>/measure_depth/{sample}/{library}.log",
    benchmark:
        "<benchmarks>/measure_depth/{sample}/{library}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 4
    resources:
        mem_mb=get_memory(2000, 0),
        runtime=get_runtime(10, 30),
    params:
        version=stage_version("depth"),
        options=get_depth_options,
    script:
        "../scripts/measure_depth.py"


rule merge_depth:
    input:
        libraries=lambda wildcards: expand(
            "<results>/depth/{{sample}}/libraries/{library}.tsv", library=get_libraries(wildcards.sample)
        ),
    output:
        depth="<results>/depth/{sample}/depth.tsv",
    log:
        "<logs>/merge_depth/{sample}.log",
    benchmark:
        "<benchmarks>/merge_depth/{sample}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(500, 0),
        runtime=get_runtime(10, 10),
    params:
        version=stage_version("depth"),
    script:
        "../scripts/merge_depth.py"

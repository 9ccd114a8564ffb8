# Completeness and contamination of bins without a truth: marker genes, or CheckM2.


rule find_markers:
    input:
        contigs="<results>/contigs/{sample}/contigs.fa.gz",
        hmm=config["markers"]["hmm"] if config["markers"]["method"] == "hmm" else [],
    output:
        genes="<results>/markers/{sample}/contigs.tsv",
        families="<results>/markers/{sample}/families.tsv",
    log:
        "<logs>/find_markers/{sample}.log",
    benchmark:
        "<benchmarks>/find_markers/{sample}.tsv"
    conda:
        "../envs/markers.yaml" if config["markers"]["method"] == "hmm" else "../envs/novabin.yaml"
    threads: 4
    resources:
        mem_mb=get_memory(1500, 5),
        runtime=get_runtime(20, 300),
    params:
        version=stage_version("markers"),
        method=config["markers"]["method"],
        e_value=config["markers"]["e_value"] if config["markers"]["method"] == "hmm" else None,
    script:
        "../scripts/find_markers.py"


rule count_markers:
    input:
        genes="<results>/markers/{sample}/contigs.tsv",
        families="<results>/markers/{sample}/families.tsv",
        names="<results>/embeddings/{sample}/contigs.txt",
        contig2bin="<results>/bins/{sample}/contig2bin.tsv",
    output:
        bins="<results>/markers/{sample}/bins.tsv",
    log:
        "<logs>/count_markers/{sample}.log",
    benchmark:
        "<benchmarks>/count_markers/{sample}.tsv"
    conda:
        "../envs/novabin.yaml"
    threads: 1
    resources:
        mem_mb=get_memory(1000, 20),
        runtime=get_runtime(10, 20),
    params:
        version=stage_version("markers"),
    script:
        "../scripts/count_markers.py"


# CheckM2 refuses an empty folder; no bins are a valid result.
rule run_checkm2:
    input:
        bins="<results>/bins/{sample}/fasta",
        contigs="<results>/contigs/{sample}/contigs.fa.gz",  # whose size tells memory and time
        database=config["checkm2"]["database"] or [],
    output:
        report="<results>/checkm2/{sample}/quality_report.tsv",
    log:
        "<logs>/run_checkm2/{sample}.log",
    benchmark:
        "<benchmarks>/run_checkm2/{sample}.tsv"
    conda:
        "../envs/checkm2.yaml"
    threads: 8
    resources:
        mem_mb=get_memory(20000, 10),
        runtime=get_runtime(60, 600),
    params:
        folder=subpath(output.report, parent=True),
    shell:
        """
        if [ -n "$(ls {input.bins:q})" ]; then
            checkm2 predict --threads {threads} --input {input.bins:q} --extension fa.gz --output-directory {params.folder:q} \
                --database_path {input.database:q} --force --remove_intermediates >{log:q} 2>&1
        else
            echo "no bins" >{log:q}
            printf 'Name\\tCompleteness\\tContamination\\n' >{output.report:q}
        fi
        """

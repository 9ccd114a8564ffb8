# Table loading and get_* functions; no rules here.
import os
import sys

sys.path.insert(0, workflow.basedir)
# Scripts of jobs import workflow_lib too, also inside a conda environment.
search_path = [workflow.basedir, *filter(None, [os.getenv("PYTHONPATH")])]
os.environ.update(PYTHONPATH=os.pathsep.join(search_path))

from snakemake.exceptions import WorkflowError

from workflow_lib.archives import check_archives
from workflow_lib.bin_folders import check_folders, list_bin_files, name_folders
from workflow_lib.config import check_input_paths, convert_texts, validate_config
from workflow_lib.embed.hub import hub_repository, model_folder_name
from workflow_lib.embed.model_files import model_state, weights_mb
from workflow_lib.embed.registry import check_model, is_language_model, name_models, select_options
from workflow_lib.errors import MissingTableError, NovabinError
from workflow_lib.files import check_writable
from workflow_lib.index.factories import can_fill_in_parts, check_factory, index_file
from workflow_lib.index.memory import building_mb, training_mb
from workflow_lib.markers.find import NO_MARKERS, check_markers
from workflow_lib.tables import AbsentTable, load_libraries, load_reference, load_samples, load_sets
from workflow_lib.train.sources import untrained_target
from workflow_lib.versions import stage_version


def load_inputs():
    """Check the configuration and load the three tables; jobs do not look for the files again.

    Trainings and comparisons of embedders do without samples and reference, so that these may be absent there.
    """
    check_files = workflow.is_main_process
    schema = f"{workflow.basedir}/config/schemas/config.schema.yaml"
    convert_texts(config, schema)
    try:
        validate_config(config, schema)
        if check_files:
            for folder in config["pathvars"].values():
                check_writable(folder)
            check_input_paths(config)
            check_archives(
                config["novelty"]["archives"], own=f"{config['pathvars']['results']}/novelty/archive"
            )
            embed = config["embed"]
            if not get_untrained():  # else told by the rules that need the model
                check_model(embed["model"], embed["weights"], device=embed["device"])
        check_markers(config["markers"])
        for factory in (config["index"]["factory"], *config["sweep"]["configurations"]):
            check_factory(factory)
        samples = load_if_there(load_samples, config["samples"])
        # Refused here, not behind all binning.
        own_bins = {sample: f"{config['pathvars']['results']}/bins/{sample}/fasta" for sample in samples}
        check_folders(config["dereplicate"]["folders"], own_bins)
        name_folders(config["dereplicate"]["folders"], samples)
        libraries = {}
        if config["libraries"] and not isinstance(samples, AbsentTable):
            groups = {sample.group for sample in samples.values()}
            libraries = load_libraries(config["libraries"], groups=groups, check_files=check_files)
        reference = {}
        if config["reference"]:
            reference = load_if_there(load_reference, config["reference"])
    except NovabinError as error:
        raise WorkflowError(str(error)) from None
    return samples, libraries, reference


def load_if_there(load, path):
    """The rows of a table, or what tells that it is not there once a target needs them."""
    try:
        return load(path, check_files=workflow.is_main_process)
    except MissingTableError as error:
        return AbsentTable(WorkflowError(str(error)))


def get_untrained():
    """The target that trains embed.model, where that is one of the workflow's own models and not there. Else None."""
    return untrained_target(config["embed"]["model"], f"{config['pathvars']['results']}/models")


SAMPLES, LIBRARIES, REFERENCE = load_inputs()
HAS_MARKERS = config["markers"]["method"] != NO_MARKERS
GROUPS = {}
for library in LIBRARIES.values():
    GROUPS.setdefault(library.group, []).append(library.name)


# Names of the reference genomes that a job embeds and adds to the index, in the table's order.
PARTS = {}
for position, name in enumerate(REFERENCE):
    PARTS.setdefault(str(position // config["index"]["shard_genomes"] + 1), []).append(name)


wildcard_constraints:
    # Where the table is absent any name will do: its rules tell of the table.
    sample="[^/]+" if isinstance(SAMPLES, AbsentTable) else "|".join(map(re.escape, SAMPLES)),
    library="|".join(map(re.escape, LIBRARIES)) or "[^/]+",
    reference="[^/]+",
    part="[0-9]+",


def get_libraries(sample):
    """Names of the libraries that are counted on a sample: all of its group."""
    return GROUPS.get(SAMPLES[sample].group, [])


def get_short_read_libraries(sample):
    """Names of the libraries of short reads that are counted on a sample: those that fastp reports on."""
    return [name for name in get_libraries(sample) if LIBRARIES[name].kind in ("paired", "single")]


def get_library_pattern(*kinds):
    """A pattern of the names of the libraries of these kinds; where there are none it matches nothing."""
    names = [re.escape(library.name) for library in LIBRARIES.values() if library.kind in kinds]
    return "|".join(names) or "(?!)"


def get_reads(wildcards):
    """The read files of a library as the user gave them: one, or the two of a pair."""
    library = LIBRARIES[wildcards.library]
    return [path for path in (library.reads_1, library.reads_2, library.long_reads) if path]


def get_filtlong_thresholds():
    """Options of filtlong; it measures quality in percent of correct bases and refuses to keep 100 percent."""
    long_reads = config["filter"]["long_reads"]
    accuracy = 100 * (1 - 10 ** (-long_reads["min_mean_quality"] / 10))
    thresholds = f"--min_length {long_reads['min_length']} --min_mean_q {accuracy:.4f}"
    if long_reads["keep_percent"] < 100:
        thresholds += f" --keep_percent {long_reads['keep_percent']}"
    return thresholds


def get_filtered_reads(wildcards):
    """The filtered short reads of a library: one file, or the two of a pair."""
    names = ("reads_1", "reads_2") if LIBRARIES[wildcards.library].kind == "paired" else ("reads",)
    return [f"<results>/reads/{{library}}/{name}.fastq.gz" for name in names]


def get_bam_output(path):
    """A BAM file or its index: temporary unless the configuration keeps it."""
    return path if config["depth"]["keep_bam"] else temp(path)


def get_depth_source(wildcards):
    """What the depth of a library on a sample is taken from: the mapped reads, or the user's BAM, CRAM or table."""
    library = LIBRARIES[wildcards.library]
    if library.kind == "depth":
        return {"depth": library.depth}
    if library.kind == "bam":
        # CRAM cannot be read without the assembly.
        return {"bam": library.bam, "assembly": SAMPLES[wildcards.sample].contigs}
    bam = "<results>/depth/{sample}/{library}.bam"
    return {"bam": bam, "bam_index": f"{bam}.bai"}


def get_depth_options(wildcards):
    """Which alignments of a library count (those of a user's BAM by the length of its reads); of a table, of what."""
    kind, group = LIBRARIES[wildcards.library].kind, LIBRARIES[wildcards.library].group
    if kind == "depth":
        return {"n_assemblies": len({sample.contigs for sample in SAMPLES.values() if sample.group == group})}
    cut = {key: config["depth"][key] for key in ("min_identity", "min_identity_long", "max_edge", "min_mapq")}
    if kind == "long":
        cut["min_identity"] = cut.pop("min_identity_long")
    elif kind != "bam":
        del cut["min_identity_long"]
    return cut


def get_truth(wildcards):
    """The truth table of a sample; a sample without one cannot be evaluated."""
    truth = SAMPLES[wildcards.sample].truth
    if truth is None:
        raise WorkflowError(
            f"sample {wildcards.sample} has no truth in {config['samples']}: name one to evaluate it"
        )
    return truth


def get_gpus():
    """GPUs that embedding takes: those that the configuration names; `--resources gpu=0` takes them back."""
    return count_gpus(config["embed"]["device"])


def count_gpus(device):
    """GPUs that a device of the configuration names."""
    return device.count(",") + 1 if device.startswith("cuda") else 0


def get_embed_env():
    """Conda environment of the rules that embed."""
    return get_device_env(config["embed"]["device"])


def get_device_env(device):
    """Conda environment of a job on a device, the one with CUDA where it is a GPU."""
    return "../envs/novabin-gpu.yaml" if count_gpus(device) else "../envs/novabin.yaml"


def get_part_names(wildcards):
    """Names of the reference genomes of a part of the index."""
    return PARTS[wildcards.part]


def get_part_genomes(wildcards):
    """FASTA files of the reference genomes of a part of the index."""
    return [REFERENCE[name].fasta for name in PARTS[wildcards.part]]


def get_part_files(kind, *names):
    """The stores of `windows`, `pieces` or `sketch/parts` of all parts: the manifest of each, then what it proves."""
    names = ("manifest.json", *(names or ("vectors.npy", "contigs.txt")))
    return [f"<results>/index/{{reference}}/{kind}/{part}/{name}" for name in names for part in PARTS]


def get_filled_parts(wildcards):
    """Empty index, plan and filled parts, where there are several that can be filled apart. Else nothing."""
    if len(PARTS) < 2 or not can_fill_in_parts(config["index"]["factory"]):
        return []
    kinds = ("faiss", "json")  # a part, and what its rows are
    names = ["trained.faiss", "growth.json", *(f"{part}.{kind}" for kind in kinds for part in PARTS)]
    return [f"<results>/index/{{reference}}/parts/{name}" for name in names]


def get_reference_genomes(wildcards):
    """FASTA files of all reference genomes."""
    return [genome.fasta for genome in REFERENCE.values()]


def get_reference_table(wildcards):
    """The table of reference genomes."""
    if not config["reference"]:
        raise WorkflowError("reference is not set: name a table of reference genomes in the configuration")
    return config["reference"]


def uses_relatives():
    """Whether bins are made with the nearest reference species of contigs: the mixture takes them."""
    binning = config["bin"]
    has_mixture = (
        binning["threshold"]["method"] == "label_free" and binning["adapt_from"] and binning["mixture_rounds"]
    )
    return bool(REFERENCE and binning["relatives"] and has_mixture)


def get_sketch(name):
    """A file of the sketch of the reference genomes."""
    return f"<results>/index/{config['index']['name']}/sketch/{name}"


def get_index_file():
    """Name of the file that holds the index proper."""
    return index_file(config["index"]["factory"])


def get_index_options():
    """What the index is asked to be."""
    index = config["index"]
    options = {key: index[key] for key in ("factory", "taxonomy_release")}
    options["parameters"] = {key: index[key] for key in ("nprobe", "ef_search", "k_factor")}
    return options


def get_section(*names):
    """A section of the configuration as a parameter of a rule: in which order a file has its keys is no change of it."""
    section = config
    for name in names:
        section = section[name]
    return dict(sorted(section.items()))


def get_binning_options():
    """How contigs are binned, but for the threshold and what is an input."""
    return {key: value for key, value in get_section("bin").items() if key not in ("threshold", "relatives")}


def get_novelty_settings():
    """How novelty calls are made."""
    return {key: config["novelty"][key] for key in ("alpha", "min_length", "min_calibration", "fdr")}


def get_sweep_configurations():
    """File names -> kinds of index that the sweep measures, exact search and, where asked for, MMseqs2 among them."""
    kinds = ["Flat", *config["sweep"]["configurations"], *["MMseqs2"][: config["sweep"]["mmseqs"]]]
    return {kind.replace("*", "_").replace(",", "+"): kind for kind in kinds}


def get_sweep_options():
    """How the sweep splits the reference and cuts its queries."""
    sweep, keys = config["sweep"], {"length": "query_length", "count": "queries", "share": "held_out"}
    options = {key: sweep[name] for key, name in keys.items()}
    options |= {key: sweep[key] for key in ("neighbours", "seed")}
    return {**options, "window": config["index"]["window"], "shard_mbp": config["embed"]["shard_mbp"]}


def get_model_record(wildcards):
    """The last file of the embedding model's folder if the workflow fetches or trains it. No input otherwise.

    What `snakemake train` made is no input: a change of its options would train anew in a run that only bins.
    """
    model = config["embed"]["model"]
    if target := get_untrained():
        raise WorkflowError(
            f"embed.model: there is no model in {model} (yet, or its training was stopped): run `snakemake {target}` first"
        )
    if model == "tnf-vae" and config["embed"]["weights"] is None:
        return "<results>/models/tnf-vae/config.json"
    if hub_repository(model):
        return f"<resources>/models/{model_folder_name(model)}/source.json"
    return []


def get_embed_params():
    """What decides the vectors: model, the state of the files that the user gave, and the options that it takes."""
    model = config["embed"]["model"]
    options = select_options(model, config["embed"])
    return {"model": model, "state": [model_state(model), model_state(options.get("weights"))], **options}


def get_threshold_model(wildcards):
    """As `get_model_record`, of the model that embeds the labelled sequences of a percentile threshold."""
    return get_model_record(wildcards) if needs_labelled_sequences() else []


def needs_labelled_sequences():
    """Whether binning embeds labelled sequences: it then needs what the embedding of the contigs needs."""
    return config["bin"]["threshold"]["method"] == "percentile"


def get_given_bins(wildcards):
    """The bins that the samples table names for a sample."""
    bins = SAMPLES[wildcards.sample].bins
    if bins is None:
        raise WorkflowError(
            f"sample {wildcards.sample} has no bins in {config['samples']}: name some to review"
        )
    return bins


def get_reviews(wildcards):
    """The reviews of all samples that come with bins."""
    reviewed = [sample.name for sample in SAMPLES.values() if sample.bins]
    if not reviewed:
        raise WorkflowError(
            f"no sample has bins in {config['samples']}: name some in a column `bins` to review"
        )
    return [f"<results>/review/{sample}/bins.tsv" for sample in reviewed]


def get_quality(sample):
    """The table of completeness and contamination of a sample's bins; none where nothing estimates them."""
    if config["checkm2"]["database"]:
        return f"<results>/checkm2/{sample}/quality_report.tsv"
    return f"<results>/markers/{sample}/bins.tsv" if HAS_MARKERS else []


def get_qualities():
    """These tables of all samples."""
    return [get_quality(sample) for sample in SAMPLES if get_quality(sample)]


def rates_folders():
    """Whether the bins of `dereplicate.folders` are rated by marker genes."""
    return HAS_MARKERS and bool(config["dereplicate"]["folders"])


def get_ranking_qualities():
    """The tables by which bins represent clusters. Where there are folders marker genes: CheckM2 has not seen their bins."""
    if not config["dereplicate"]["folders"]:
        return get_qualities()
    return [f"<results>/markers/{sample}/bins.tsv" for sample in SAMPLES] if HAS_MARKERS else []


def needs_dereplication():
    """Whether bins are clustered into genomes without being asked: there are several samples, or other bins."""
    return len(SAMPLES) > 1 or bool(config["dereplicate"]["folders"])


def get_final_output(wildcards):
    """Everything that `snakemake` without a target makes."""
    for table in (SAMPLES, REFERENCE):
        table.values()  # tells of one that is not there
    paths = [
        f"<results>/bins/{sample}/{table}"
        for sample in SAMPLES
        for table in ("contig2bin.tsv", "bins.tsv", "contigs.tsv", f"{sample}.binning", "fasta")
    ]
    if REFERENCE:
        paths += [f"<results>/novelty/{sample}/bins.tsv" for sample in SAMPLES]
        paths += ["<results>/novelty/novel_taxa.tsv", "<results>/novelty/calibration/rates.tsv"]
    paths += [
        f"<results>/evaluation/{sample.name}/metrics.tsv" for sample in SAMPLES.values() if sample.truth
    ]
    paths += [f"<results>/review/{sample.name}/bins.tsv" for sample in SAMPLES.values() if sample.bins]
    if HAS_MARKERS and config["checkm2"]["database"]:
        paths += [f"<results>/markers/{sample}/bins.tsv" for sample in SAMPLES]
    paths += get_qualities()
    if needs_dereplication():
        paths += ["<results>/genomes/clusters.tsv"]
    return paths + ["<results>/report/report.html"]

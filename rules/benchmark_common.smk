# Functions of the rules that compare binners; no rules here.
from workflow_lib.benchmark.binners import LONG_MEDIAN, NOVABIN, PEERS, SPLIT_LIBRARIES, WITH_REFERENCE


def get_benchmark_sets():
    """Name -> options of the sets that binners are compared on (of `BenchmarkSet`)."""
    benchmark = config["benchmark"]
    shared = {key: benchmark[key] for key in ("contig_sigma", "mean_depth", "strain_identity", "min_length")}
    shared["max_n_fraction"] = config["filter"]["max_n_fraction"]
    unless_said = {"assembled": False, "replication": 1.0}
    sets = {chosen["name"]: {**unless_said, **chosen, **shared} for chosen in benchmark["sets"]}
    if len(sets) < len(benchmark["sets"]):
        raise WorkflowError("benchmark.sets: found a name twice, expected each once")
    return sets


def get_benchmark_pattern(key, value):
    """A pattern of the names of the sets with this value of a key, such as those with reads."""
    names = [re.escape(name) for name, chosen in BENCHMARK_SETS.items() if chosen[key] == value]
    return "|".join(names) or "(?!)"


def get_benchmark_genomes(wildcards):
    """The table of genomes that communities are drawn from, and the genomes."""
    table = config["benchmark"]["genomes"]
    if table is None:
        raise WorkflowError("benchmark.genomes is not set: name a table of genomes (as reference.tsv)")
    try:
        genomes = load_reference(table, check_files=workflow.is_main_process)
    except NovabinError as error:
        raise WorkflowError(str(error)) from None
    return {"table": table, "genomes": [genome.fasta for genome in genomes.values()]}


def get_library_files(ending):
    """A function that gives one file of each library of a set with reads, such as its sorted alignments."""

    def library_files(wildcards):
        numbers = range(1, BENCHMARK_SETS[wildcards.community]["libraries"] + 1)
        return [f"{BENCHMARK_FOLDER}/library_{number}{ending}" for number in numbers]

    return library_files


def get_binner_inputs(wildcards):
    """What a binner gets; SemiBin2 takes alignments or the depth of halves where it can, novabin its model."""
    files = {"contigs": f"{BENCHMARK_FOLDER}/contigs.fa.gz", "depth": f"{BENCHMARK_FOLDER}/depth.tsv"}
    if wildcards.binner not in PEERS:
        files["model"] = get_model_record(wildcards)
        if wildcards.binner == WITH_REFERENCE:
            files |= {name: get_sketch(f"{name}.npy") for name in ("hashes", "genomes")}
            files |= {"sketch": get_sketch("manifest.json"), "table": get_reference_table(wildcards)}
    elif wildcards.binner == "semibin2" and BENCHMARK_SETS[wildcards.community]["reads"]:
        files |= {
            "bams": get_library_files(".bam")(wildcards),
            "indexes": get_library_files(".bam.bai")(wildcards),
        }
    elif wildcards.binner == "semibin2":
        files["halves"] = f"{BENCHMARK_FOLDER}/halves"
    return files


def get_binner_env(wildcards):
    """Conda environment of a binner."""
    names = {NOVABIN: "novabin", WITH_REFERENCE: "novabin", "metabat2": "metabat"}
    return f"../envs/{names.get(wildcards.binner, wildcards.binner)}.yaml"


def get_all_cores(wildcards):
    """All cores of a local run, so that jobs that are measured run one at a time; 8 where a scheduler has the machines."""
    try:
        return workflow.cores
    except WorkflowError:
        return 8


def get_binner_program(wildcards):
    """The command of a binner; none for novabin, which runs with the Python of its job."""
    return config["benchmark"]["binners"].get(wildcards.binner)


def get_binner_options(wildcards, input):
    """What is set of a binner, besides what is the same for all."""
    benchmark = config["benchmark"]
    if wildcards.binner not in PEERS:
        relatives = {}
        if wildcards.binner == WITH_REFERENCE:
            relatives = {"sketch_folder": os.path.dirname(input.sketch), "reference": input.table}
        embed = {
            "name_or_folder": config["embed"]["model"],
            **select_options(config["embed"]["model"], config["embed"]),
        }
        return {
            "embed": embed,
            "bin": {"threshold": get_section("bin", "threshold"), **get_binning_options()},
            "relatives": relatives,
            **{key: config["embed"][key] for key in ("shard_mbp", "pieces")},
            "markers": get_section("markers"),
        }
    if wildcards.binner == "semibin2":
        return {"environment": benchmark["semibin_environment"], "epochs": benchmark["semibin_epochs"]}
    return {}


def get_binner_version(wildcards):
    """What has novabin run anew after an update of the library; peers are told by their command."""
    if wildcards.binner in PEERS:
        return []
    stages = ["embed", "markers", "bin", *["relatives"][: wildcards.binner == WITH_REFERENCE]]
    return [stage_version(stage) for stage in stages]


def get_binner_task(wildcards, input):
    """What a binner is told of its set."""
    chosen = BENCHMARK_SETS[wildcards.community]
    limits = {"min_length": chosen["min_length"], "min_bin_length": config["benchmark"]["min_bin_length"]}
    return {
        # The median of an assembled set is that of the pieces that differ in depth.
        "has_long_contigs": chosen["contig_median"] >= LONG_MEDIAN and not chosen["assembled"],
        "options": get_binner_options(wildcards, input),
        **limits,
    }


def get_own_binners():
    """novabin, and novabin with the reference where that is asked for and there is one."""
    return [NOVABIN, *[WITH_REFERENCE][: config["benchmark"]["with_reference"] and uses_relatives()]]


def check_benchmark_genomes():
    """No genome may be in the reference and in the communities, by its name or its file."""
    table = config["benchmark"]["genomes"]
    if not workflow.is_main_process or table is None or WITH_REFERENCE not in get_own_binners():
        return
    try:
        genomes = load_reference(table).values()
    except NovabinError as error:
        raise WorkflowError(str(error)) from None
    files = {os.path.realpath(genome.fasta) for genome in REFERENCE.values()}
    known = [
        genome.name
        for genome in genomes
        if genome.name in REFERENCE or os.path.realpath(genome.fasta) in files
    ]
    if known:
        raise WorkflowError(
            f"benchmark.genomes and reference have {len(known)} genomes in common, such as {known[0]}: "
            "name others, or set benchmark.with_reference to false"
        )


def get_benchmark_runs():
    """(set, seed, binner) of everything that is run, in the order of the page."""
    return [
        (name, seed, binner)
        for name, chosen in BENCHMARK_SETS.items()
        for seed in config["benchmark"]["seeds"]
        for binner in (*get_own_binners(), *PEERS)
        if binner not in PEERS
        or (config["benchmark"]["binners"][binner] and not get_binner_obstacle(binner, chosen))
    ]


def get_binner_obstacle(binner, chosen):
    """Why a binner cannot take a set; empty where it can."""
    if binner != "semibin2" or chosen["reads"] or chosen["libraries"] >= SPLIT_LIBRARIES:
        return ""
    if chosen["libraries"] == 1 and config["benchmark"]["semibin_environment"]:
        return ""
    return f"SemiBin2 takes no depth table of {chosen['libraries']} libraries"


def get_benchmark_not_run():
    """Sentences on the binners, and the sets of a binner, that are not run."""
    binners = config["benchmark"]["binners"]
    left_out = [
        f"{binner} was not run: benchmark.binners names no command" for binner in PEERS if not binners[binner]
    ]
    obstacles = [
        (name, get_binner_obstacle(binner, chosen))
        for name, chosen in BENCHMARK_SETS.items()
        for binner in PEERS
        if binners[binner]
    ]
    if config["benchmark"]["with_reference"] and not uses_relatives():
        left_out += [
            f"{WITH_REFERENCE} was not run: there is no reference, or the keys of bin do not use its species"
        ]
    return left_out + [f"on {name}: {obstacle}" for name, obstacle in obstacles if obstacle]

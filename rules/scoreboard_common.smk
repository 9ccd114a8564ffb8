# Functions of the rules that compare embedders; no rules here.


def get_sets():
    """The labelled sets of the scoreboard; their table is read only when the scoreboard is asked for."""
    try:
        return load_sets(config["scoreboard"]["sets"], check_files=workflow.is_main_process)
    except NovabinError as error:
        raise WorkflowError(str(error)) from None


def get_set_source(wildcards):
    """The files that a labelled set is made from: sequences, or a table of genomes and the genomes."""
    source = get_sets()[wildcards.set]
    if source.sequences:
        return {"sequences": source.sequences}
    try:
        genomes = load_reference(source.genomes, check_files=workflow.is_main_process)
    except NovabinError as error:
        raise WorkflowError(str(error)) from None
    return {"table": source.genomes, "genomes": [genome.fasta for genome in genomes.values()]}


def get_dna2vec_weights():
    """The k-mer vectors of DNA2Vec on the scoreboard; None where the configuration names none."""
    embed = config["embed"]
    return config["scoreboard"]["dna2vec"] or (embed["weights"] if embed["model"] == "dna2vec" else None)


def get_scoreboard_embedders():
    """Names -> models of the scoreboard: TNF, those of the configuration that can run, and the one that is in use."""
    models = ["tnf", *config["scoreboard"]["embedders"], config["embed"]["model"]]
    try:
        return name_models([m for m in models if m != "dna2vec" or get_dna2vec_weights()])
    except NovabinError as error:
        raise WorkflowError(str(error)) from None


def get_scoreboard_not_run():
    """Embedders that the configuration asks for and that lack something, with the reason."""
    if "dna2vec" in config["scoreboard"]["embedders"] and not get_dna2vec_weights():
        return {"dna2vec": "no k-mer vectors were given (scoreboard.dna2vec)"}
    return {}


def get_scoreboard_params(wildcards):
    """What decides the vectors of an embedder of the scoreboard: as `get_embed_params`, for any model."""
    model = SCOREBOARD_EMBEDDERS[wildcards.embedder]
    options = select_options(model, config["embed"])
    if "weights" in options:  # those of embed.model concern no other embedder; TNF-VAE is trained on the set
        options["weights"] = get_dna2vec_weights() if model == "dna2vec" else None
    return {"model": model, "state": [model_state(model), model_state(options.get("weights"))], **options}


def get_scoreboard_record(wildcards):
    """The record of the model in use if it comes from the hub, as `get_model_record`; others come by the hub's cache."""
    return (
        get_model_record(wildcards)
        if SCOREBOARD_EMBEDDERS[wildcards.embedder] == config["embed"]["model"]
        else []
    )


def get_scoreboard_gpus(wildcards):
    """GPUs that an embedder of the scoreboard takes: only language models run on one."""
    return get_gpus() if is_language_model(SCOREBOARD_EMBEDDERS[wildcards.embedder]) else 0


def get_scoreboard_memory(wildcards, input, attempt):
    """`mem_mb` of embedding a labelled set, whose sequences are all held; more for a language model."""
    base = 2000 + 6000 * is_language_model(SCOREBOARD_EMBEDDERS[wildcards.embedder])
    return int((base + 20 * input.size_mb) * attempt)


def get_scoreboard_runtime(wildcards, input, attempt):
    """`runtime` of embedding a labelled set in minutes: as `get_embed_runtime`, for any model."""
    slower = 1
    if is_language_model(SCOREBOARD_EMBEDDERS[wildcards.embedder]):
        slower = 20 if get_scoreboard_gpus(wildcards) else 400
    return int((30 + 100 * slower * input.size_mb / 1000) * attempt)


def check_scoreboard_embedders():
    """Refuse embedders that cannot be; done only when the scoreboard is asked for, without loading any."""
    keys = ("an entry of scoreboard.embedders", "scoreboard.dna2vec")
    try:
        for model in SCOREBOARD_EMBEDDERS.values():
            if model != config["embed"]["model"]:  # checked already
                check_model(model, get_dna2vec_weights() if model == "dna2vec" else None, keys=keys)
    except NovabinError as error:
        raise WorkflowError(str(error)) from None


def get_scoreboard_scores(wildcards):
    """The scores of every embedder on every labelled set."""
    if workflow.is_main_process:
        check_scoreboard_embedders()
    pairs = [(name, embedder) for name in get_sets() for embedder in SCOREBOARD_EMBEDDERS]
    return [f"<results>/scoreboard/{name}/{embedder}/scores.tsv" for name, embedder in pairs]


def get_scoreboard_facts(wildcards):
    """What each labelled set is."""
    return [f"<results>/scoreboard/{name}/set.json" for name in get_sets()]

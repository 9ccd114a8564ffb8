# Memory, time and threads that jobs ask for


def get_mapping_memory(wildcards, input, attempt):
    """`mem_mb` of mapping: minimap2's index grows with the contigs (about 4 bp a byte of gzip), not with the reads."""
    return int((4000 + 80 * os.path.getsize(input.reference) / 1e6) * attempt)


def get_embed_memory(base_mb, per_input_mb):
    """A `mem_mb` function as of `get_memory`, with room for a language model: libraries, batches, its weights thrice.

    A model of the hub that is not here yet is taken for one of 250 million parameters.
    """
    model = config["embed"]["model"]
    if is_language_model(model):
        fetched = f"{config['pathvars']['resources']}/models/{model_folder_name(model)}"
        base_mb += 2500 + 3 * (weights_mb(model) or weights_mb(fetched) or 1000)
    return get_memory(base_mb, per_input_mb)


def get_embed_runtime(base_minutes, per_input_gb):
    """A `runtime` function as of `get_runtime`; a language model takes 20 times as long, without a GPU 400 times.

    Measured for DNABERT-2: 1,000 CPU seconds a Mbp; a MB of gzip is about 3 Mbp, twice for strands, twice for halves
    or cuts.
    """
    if is_language_model(config["embed"]["model"]):
        per_input_gb *= 20 if get_gpus() else 400
    return get_runtime(base_minutes, per_input_gb)


def get_embed_threads():
    """Cores of a job that embeds: a language model on the CPU takes what it gets, the others wait for the disk."""
    return 8 if is_language_model(config["embed"]["model"]) else 2


def weigh_input(input, each, shares):
    """MiB of the input, times `each`; inputs with a share of their own, by name, times that."""
    sizes = {}
    for name in shares:
        files = [input[name]] if isinstance(input[name], str) else input[name]
        sizes[name] = sum(map(os.path.getsize, files)) / 2**20
    weighed = sum(share * sizes[name] for name, share in shares.items())
    return weighed + each * max(input.size_mb - sum(sizes.values()), 0)


def get_memory(base_mb, per_input_mb, **shares):
    """A `mem_mb` function: grows with the size of the input and with every attempt.

    `shares`: of inputs that are not held as they are: those that are memory-mapped, or read a part at a time.
    """

    def mem_mb(wildcards, input, attempt):
        return int((base_mb + weigh_input(input, per_input_mb, shares)) * attempt)

    return mem_mb


def get_runtime(base_minutes, per_input_gb, **shares):
    """A `runtime` function in minutes: grows with the size of the input and with every attempt.

    `shares`: minutes a GB of inputs that take less.
    """

    def runtime(wildcards, input, attempt):
        return int((base_minutes + weigh_input(input, per_input_gb, shares) / 1000) * attempt)

    return runtime


def weigh_folders(folders):
    """MiB of the bins in folders; nothing of a folder that the job will refuse."""
    try:
        files = [file for folder in folders for file in list_bin_files(folder).values()]
    except NovabinError:
        return 0
    return sum(file.stat().st_size for file in files if file.is_file()) / 2**20


def get_folders_memory(wildcards, input, attempt):
    """`mem_mb` of rating the bins of folders: genes of a part at a time, and the counts of all contigs."""
    return int((1500 + 2 * weigh_folders(input.folders)) * attempt)


def get_folders_runtime(wildcards, input, attempt):
    """`runtime` of rating the bins of folders in minutes, as of `find_markers`."""
    return int((20 + 300 * weigh_folders(input.folders) / 1000) * attempt)

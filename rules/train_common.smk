# Functions of the rules that train models; no rules here.
from workflow_lib.train.mlm_options import read_pretraining
from workflow_lib.train.options import read_training


def get_training_inputs(section):
    """An input function: a section's table of genomes (the reference table unless another is named) and their files.

    It refuses settings that are wrong in themselves: behind it Snakemake removes the model of an earlier training.
    """

    def inputs(wildcards):
        options = config[section]
        needed = {**options, "genomes": options["genomes"] or config["reference"]}
        for key in ("model", "genomes"):
            if key in needed and needed[key] is None:
                raise WorkflowError(f"{section}.{key} is not set: name one in the configuration")
        try:
            if workflow.is_main_process and section == "train":
                read_training(options, f"{config['pathvars']['results']}/models/trained")
            elif workflow.is_main_process:
                read_pretraining(options)
            genomes = load_reference(needed["genomes"], check_files=workflow.is_main_process)
        except NovabinError as error:
            raise WorkflowError(str(error)) from None
        return {"table": needed["genomes"], "genomes": [genome.fasta for genome in genomes.values()]}

    return inputs

"""novabin: metagenome binning with DNA-language-model embeddings, and novelty calls with an error rate."""

__version__ = "0.1.0"

"""Training: genomes in, model folders out; the loop, its losses, contrastive training and MLM pre-training."""

# rules of the novelty stage

# rules of the index stage

# rules of the bin stage

# rules of the simulate stage

# rules of the depth stage

# rules of the embed stage

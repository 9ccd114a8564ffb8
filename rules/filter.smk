# rules of the filter stage

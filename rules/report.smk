# rules of the report stage

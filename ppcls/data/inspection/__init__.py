"""Looking at data sets: what is broken, what is there twice, what the model will see; and splitting them."""

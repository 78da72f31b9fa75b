"""How long the texts of the data sets are, and what is cut of them."""

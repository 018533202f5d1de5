"""Do the data still look like what the model learnt from: arrivals of equal windows, beside chance and season."""

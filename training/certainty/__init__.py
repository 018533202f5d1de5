"""How sure a probability is and how it is kept right: the interval, likeness to the training data, corrections."""

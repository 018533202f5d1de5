"""What is told of a lead that the store knows: its score now, and the scores it was given."""

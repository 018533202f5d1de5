"""How a model comes to be: splits, recipe (linear part, trees, Platt), peers, scoreboard, gate, registry, bundle."""

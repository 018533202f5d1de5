"""How one model learns: splits in time, encodings, the linear part, the trees, young leads, Platt and the choices."""

"""How things stand, as `clew monitor` has left it: read once, told to pages, to the interface and to Prometheus."""

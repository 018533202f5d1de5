"""What is sealed and served: the bundle, its registry, publishing and batch scoring."""

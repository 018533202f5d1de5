"""Which touches won the deals: journeys from the warehouse, six models that hand out each win, and what it all cost."""

"""Whether marketing meets its baselines from market insight to won deals: definitions, measures, lights and trends."""

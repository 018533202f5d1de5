"""How good the leads are this week: mix, duplicates, gaps, reach, leads that fall or stand still, and losses."""

"""The monthly page for the manager: what was promised and came, the funnel, what drives wins, and what to do."""

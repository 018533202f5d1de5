"""One request scored: checked, made into facts, answered with reasons, rules and a decision."""

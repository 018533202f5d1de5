"""Did scores keep their promise: what was said of leads, by month and grade, beside what became of them."""

"""What changed between two scores of a lead: new activity, time passing, corrected data, a new model; exactly."""

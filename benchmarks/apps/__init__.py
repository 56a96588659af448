"""Programs that the suite starts as a user would."""

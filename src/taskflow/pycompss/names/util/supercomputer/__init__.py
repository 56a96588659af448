"""What a batch system says about the run."""

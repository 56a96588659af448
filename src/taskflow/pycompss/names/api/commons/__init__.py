"""Labels and names that other packages import."""

"""Drivers turn the kernel's commands into effects and the world's answers into events."""

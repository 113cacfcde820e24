"""Measurements of the simulated gateway, each against a floor measured in the same run."""

"""What is made of several trainings: averaged weights, cross-validation, sweeps."""

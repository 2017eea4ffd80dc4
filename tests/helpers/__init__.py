"""What tests of several folders share: recipes, runs of the command line, checks of a run's folder."""

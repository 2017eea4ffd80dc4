"""Tools for data sets: find broken and duplicate images, draw contact sheets, split into training and validation."""

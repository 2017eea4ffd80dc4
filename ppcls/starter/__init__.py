"""From a folder of images to a recipe: looks at the data and the machine, and chooses by the rules of one table."""

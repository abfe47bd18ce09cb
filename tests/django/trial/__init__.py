"""A Django project with one view for each thing that the kit promises. Pages answer with JSON that names the node."""

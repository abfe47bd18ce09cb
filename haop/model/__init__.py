"""What haop thinks in: asked-for and observed, as frozen values. Standard library only, no I/O."""

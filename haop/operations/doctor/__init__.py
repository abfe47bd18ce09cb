"""`haop doctor`: facts are gathered at the edges, judged by pure checks, and mended only where that is safe."""

"""Random histories on real servers: what happens to a cluster is drawn from a seed, and judged by promises alone."""

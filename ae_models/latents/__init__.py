"""What is done with latents: checks, densities, walks, projections, clusters and classes."""

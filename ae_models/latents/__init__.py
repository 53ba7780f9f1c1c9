"""Operations on latents: checks, densities, walks, projections, clusters and classes."""

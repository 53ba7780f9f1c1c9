"""p(class | record) by Gaussians in latent space."""

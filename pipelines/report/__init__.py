"""The page that `latentbeam report` writes: plots, pictures and the template."""

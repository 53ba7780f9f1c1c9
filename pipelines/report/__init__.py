"""The page that `latentbeam report` writes: its plots, its pictures, its template."""

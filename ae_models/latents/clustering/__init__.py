"""Clusters of latents: one method per file, each fitted on a sample and saved as arrays of numbers.

To add one, add its file and a line in `CLUSTERINGS`.
"""

from ae_models.config.family import Family
from ae_models.latents.clustering.model import Clustering

CLUSTERINGS: Family[type[Clustering]] = Family(
    {
        "kmeans": "ae_models.latents.clustering.kmeans:KMeansClustering",
        "gmm": "ae_models.latents.clustering.gaussian_mixture:MixtureClustering",
        "hdbscan": "ae_models.latents.clustering.density:DensityClustering",
        "n2d": "ae_models.latents.clustering.n2d:ManifoldClustering",
    }
)

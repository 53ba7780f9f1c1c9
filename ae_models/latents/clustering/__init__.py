"""Clusters of latents: a method a file, each fitted on a sample and saved as arrays of numbers."""

from collections.abc import Mapping
from types import MappingProxyType

from ae_models.latents.clustering.density import DensityClustering
from ae_models.latents.clustering.gaussian_mixture import MixtureClustering
from ae_models.latents.clustering.kmeans import KMeansClustering
from ae_models.latents.clustering.model import Clustering
from ae_models.latents.clustering.n2d import ManifoldClustering

CLUSTERINGS: Mapping[str, type[Clustering]] = MappingProxyType(
    {
        kind.method: kind
        for kind in (KMeansClustering, MixtureClustering, DensityClustering, ManifoldClustering)
    }
)

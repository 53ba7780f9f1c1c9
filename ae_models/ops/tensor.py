"""The type of a tensor in annotations, and a constant of many densities. Imports no Keras."""

import math
from typing import Any

# A Keras tensor, or anything that `keras.ops` accepts: Keras has no type for backends' tensors.
Tensor = Any

LOG_TWO_PI = math.log(2.0 * math.pi)

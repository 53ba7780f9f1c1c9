"""Pictures for people, drawn with matplotlib: text from records is never parsed as a formula,
colours suit the colour-blind, and the same numbers give the same bytes."""

from ae_models.config.extras import require

require("pictures", "matplotlib")

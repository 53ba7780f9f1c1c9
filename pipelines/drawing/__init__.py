"""Pictures for people, drawn by matplotlib: text from records is never a formula, colours can be
told apart by the colour-blind, and the same numbers give the same bytes."""

from ae_models.config.extras import require

require("pictures", "matplotlib")

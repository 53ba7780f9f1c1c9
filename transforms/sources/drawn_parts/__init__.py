"""The pictures behind `builtin:parts`: machined washers on a brushed table, some with defects."""

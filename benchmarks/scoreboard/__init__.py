"""The quality of models and scores on public data, one measured row at a time.

`rows` stores finished rows, `data` reads the data sets, `training` trains and scores in memory,
`controls` are the baselines for any claim, `table` writes the page; every other module is a task.
A task yields `Row`s; `benchmarks.quality` runs those that are not finished.
"""

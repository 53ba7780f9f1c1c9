"""The quality of models and scores on public data, one measured row at a time.

`rows` keeps what is finished, `data` reads the data sets, `training` trains and scores in memory,
`controls` are what any claim is printed beside, `table` writes the page; every other module is a
task. A task gives `Row`s; `benchmarks.quality` runs those that are not finished.
"""

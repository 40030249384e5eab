"""The spatial transformer, in the order of the paper: localization → theta → grids → sampling.

``localization`` regresses the parameters, ``theta`` makes matrices out of numbers a person can think in, ``grids`` and
``splines`` turn them into places to look, ``families`` are the grid generators as modules, ``sampling`` reads the image
there, and ``spatial_transformer`` is the three in a row.
"""

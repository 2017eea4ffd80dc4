"""Says where the parts of the former ``ppcls.deploy`` are."""

raise ImportError(
    "ppcls.deploy has been split: ppcls.Predictor runs exported models, ppcls.inference has its parts (inputs, "
    "backends, results), and ppcls.serving has the HTTP server",
    name=__name__,
)

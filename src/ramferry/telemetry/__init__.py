"""A relay's metrics, as Prometheus reads them; ``docs/metrics.md`` says what each tells.

``table`` names them, ``sums`` adds up what migrations carried, ``collector`` makes samples of that
when somebody asks, and ``server`` answers HTTP. All comes from what a relay's observer is told.
"""

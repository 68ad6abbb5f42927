"""The coordinator's run over Flower: SuperLink, channel, certificates."""

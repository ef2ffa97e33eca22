"""The live server beside its peers: one generator, one load, one core for the server alone."""

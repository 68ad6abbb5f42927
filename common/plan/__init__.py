"""The declarative request that silos approve: phases, noise, trust and cost."""

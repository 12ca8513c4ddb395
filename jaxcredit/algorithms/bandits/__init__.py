"""Linear bandits whose reward comes through a linear dynamical system."""

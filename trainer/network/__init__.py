"""WeldNet, the networks that it is compared with, ensembles, and where weights start."""

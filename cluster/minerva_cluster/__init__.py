"""Many Minervas behind one endpoint, on Ray Serve. docs/cluster.md says how to use it, docs/adr/0030-cluster.md why it is so."""

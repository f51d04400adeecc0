"""HTTP mechanics that all formats share: keys, bodies, errors, delivery of answers. Knows Flask."""

"""How the kernel sees the tree."""

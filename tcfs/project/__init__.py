"""What the objects mean: steps, memory, mail, agents. Knows no paths, no inodes, no kernel."""

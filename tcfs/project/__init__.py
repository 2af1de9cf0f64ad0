"""What the objects mean: steps, memory, mail, agents. Knows no paths, no inodes, no kernel."""

from tcfs.project._documents import WALK
from tcfs.project._project import Project
from tcfs.project._together import together

__all__ = ["WALK", "Project", "together"]

"""What the objects mean: steps, memory, mail, agents. Knows no paths, no inodes, no kernel."""

from tcfs.project._arrivals import Arrivals, Following
from tcfs.project._documents import WALK
from tcfs.project._metrics import Metrics, Served
from tcfs.project._project import Project
from tcfs.project._together import together
from tcfs.project._unread import News

__all__ = ["WALK", "Arrivals", "Following", "Metrics", "News", "Project", "Served", "together"]

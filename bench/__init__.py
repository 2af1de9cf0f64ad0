"""`make bench`: what the mount costs above the bare requests it is made of."""

"""From each group of sections of perfloop.yml to recipes; imported when the group is configured."""

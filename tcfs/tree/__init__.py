"""How the project looks: directories and files, kernel-free."""

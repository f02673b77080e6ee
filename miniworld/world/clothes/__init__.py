"""What people wear below the neck."""

"""What people look at: pictures and pages about a run."""

"""What renderer, operator and HTTP service all do at run time, and must do alike."""

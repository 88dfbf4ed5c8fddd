"""What is looked at again and again, so that somebody is told when it is wrong: kinds, and who looks."""

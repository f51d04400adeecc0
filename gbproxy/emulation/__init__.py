"""What an upstream lacks, made by prompt on the way down and by reading the answer on the way up."""

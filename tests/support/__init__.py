"""What tests share: a root file system, programs that look around in it, and who finds leaks."""

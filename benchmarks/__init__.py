"""What pyengine costs, beside what the kernel alone costs: both measured in the same run."""

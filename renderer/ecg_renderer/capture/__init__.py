"""Ways to get caption pictures out of Chromium. All give the same patches; they differ in speed."""

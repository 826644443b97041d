"""The renderer: a source video and a MotionText scenario in, the captioned video out."""

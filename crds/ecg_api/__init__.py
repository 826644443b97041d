"""The words that every part of ECG Render shares: RenderJob, plan, results and failures."""

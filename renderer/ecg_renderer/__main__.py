"""`python -m ecg_renderer` is `ecg-render`."""

from ecg_renderer.cli import main

if __name__ == "__main__":
    main()

"""`python -m pyzk`, the same as the command `pyzk`.

Shell.
"""

from pyzk.cli import main

if __name__ == "__main__":
    main()

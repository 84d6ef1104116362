"""python -m latentcodec"""

from latentcodec.cli.main import main

if __name__ == "__main__":
    main()

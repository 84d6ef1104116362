"""The command line: options, files and messages. stderr is for people, stdout for data."""

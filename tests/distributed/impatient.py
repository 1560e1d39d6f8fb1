"""The command, with processes that wait for seconds where they would for half a minute."""

from selftaught.commands.cli import main
from selftaught.system import connections, meeting

if __name__ == "__main__":
    meeting.SILENCE, connections.UNANSWERED = 6.0, 3.0
    main()

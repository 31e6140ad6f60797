"""A mail server for tests: takes mails at a port and appends each as one JSON line to a file.

server.py PORT FILE [refuse]    with `refuse` it knows no recipient
"""

import asyncio
import email
import email.policy
import json
import sys

from aiosmtpd.controller import UnthreadedController


class Mailbox:
    def __init__(self, file, refuses):
        self.file, self.refuses = file, refuses

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.refuses:
            return "550 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        line = {
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "headers": mail.items(),
            "text": mail.get_body(("plain",)).get_content(),
            "html": mail.get_body(("html",)).get_content(),
        }
        with open(self.file, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return "250 OK"


async def main():
    port, file, refuses = int(sys.argv[1]), sys.argv[2], "refuse" in sys.argv[3:]
    loop = asyncio.get_running_loop()
    controller = UnthreadedController(Mailbox(file, refuses), hostname="127.0.0.1", port=port, loop=loop)
    await controller._create_server()
    await asyncio.Event().wait()


asyncio.run(main())

"""The handler `chat`: rooms with names, who is here, and messages to the room or to one person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from gateway import HANDLED, Handler
from gateway_chat.errors import ChatError, RoomNameError, TextTooLongError
from gateway_chat.messages import (
    Failed,
    Joined,
    Left,
    Message,
    Renamed,
    Say,
    SetName,
    Welcome,
    Whisper,
    Whispered,
    Who,
    WhoIsHere,
    parse,
)
from gateway_chat.names import suggest_names
from gateway_chat.node_presence import NodePresence, room_group
from gateway_chat.options import ChatOptions

if TYPE_CHECKING:
    from gateway import Connection, Node
    from gateway_chat.messages import Member, Request

__all__ = ["NO_SUCH_ROOM", "Chat"]

NO_SUCH_ROOM: Final = 4404
"""The close code for a room name that the route does not allow. To reconnect is of no use."""


class Chat(Handler[ChatOptions]):
    """The handler of chat rooms, for routes whose path has the parameter `{room}`."""

    def on_start(self, node: Node) -> None:
        """Find out who is here on this node."""
        self._presence = NodePresence(node)

    def on_open(self, connection: Connection) -> None:
        """Bring the newcomer into the room, and tell them and the others."""
        room = connection.params["room"]
        if not self.options.room_pattern.fullmatch(room):
            error = RoomNameError()
            _fail(connection, error)
            connection.close(NO_SUCH_ROOM, str(error))
            return
        identity = connection.identity
        names = suggest_names(identity.user if identity is not None else None)
        member = self._presence.enter(connection, room, names)
        members = self._presence.members(room)
        connection.send(Welcome(id=member.id, name=member.name, room=room, members=members).to_json())
        connection.publish(room_group(room), Joined(member=member).to_json(), include_sender=False)

    def on_message(self, connection: Connection, message: str | bytes) -> object:
        """Do what a member asks for; answer anything else with an error."""
        member = self._presence.identify(connection)
        if member is not None:
            try:
                self._take(connection, member, parse(message))
            except ChatError as error:
                _fail(connection, error)
        return HANDLED

    def on_close(self, connection: Connection, code: int, reason: str) -> None:
        """Tell the others, however the connection ended."""
        del code, reason
        member = self._presence.identify(connection)
        if member is not None:
            connection.publish(room_group(connection.params["room"]), Left(member=member).to_json())

    def _take(self, connection: Connection, member: Member, request: Request) -> None:
        match request:
            case SetName():
                self._rename(connection, member, request.name)
            case Say():
                self._say(connection, member, request.text)
            case Whisper():
                self._whisper(connection, member, request.to, request.text)
            case Who():
                self._answer_who(connection)
            case _:
                assert_never(request)

    def _rename(self, connection: Connection, former: Member, name: str) -> None:
        room = connection.params["room"]
        member = self._presence.rename(connection, room, name)
        connection.publish(room_group(room), Renamed(member=member, former=former.name).to_json())

    def _say(self, connection: Connection, sender: Member, text: str) -> None:
        self._check_length(text)
        message = Message(sender=sender, text=text, at=connection.node.now())
        connection.publish(room_group(connection.params["room"]), message.to_json())

    def _whisper(self, connection: Connection, sender: Member, to: str, text: str) -> None:
        self._check_length(text)
        receiver = self._presence.find(connection.params["room"], to)
        whisper = Whispered(sender=sender, to=receiver.member, text=text, at=connection.node.now()).to_json()
        receiver.connection.send(whisper)
        if receiver.connection is not connection:
            connection.send(whisper)

    def _answer_who(self, connection: Connection) -> None:
        room = connection.params["room"]
        connection.send(WhoIsHere(room=room, members=self._presence.members(room)).to_json())

    def _check_length(self, text: str) -> None:
        if len(text) > self.options.max_text_characters:
            raise TextTooLongError(len(text), self.options.max_text_characters)


def _fail(connection: Connection, error: ChatError) -> None:
    connection.send(Failed(error=error.code, message=str(error)).to_json())

"""The handler `chat`: rooms with names, who is here, and messages to the room or to one person."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, assert_never

from gateway import HANDLED, Handler
from gateway_chat.errors import ChatError, RoomNameError, TextTooLongError
from gateway_chat.incoming import Say, SetName, Whisper, Who, parse
from gateway_chat.names import suggest_names
from gateway_chat.node_presence import NodePresence, room_group
from gateway_chat.options import ChatOptions
from gateway_chat.outgoing import Failed, Joined, Left, Renamed, Said, Welcome, Whispered, WhoIsHere

if TYPE_CHECKING:
    from gateway import Connection, Node
    from gateway_chat.incoming import Incoming
    from gateway_chat.outgoing import Member, Outgoing

__all__ = ["NO_SUCH_ROOM", "Chat"]

NO_SUCH_ROOM: Final = 4404
"""The close code for a room name that the route does not allow. To reconnect is of no use."""


class Chat(Handler[ChatOptions]):
    """The handler of chat rooms, for routes whose path has the parameter `{room}`."""

    required_params: ClassVar[tuple[str, ...]] = ("room",)

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
        _send(connection, Welcome(id=member.id, name=member.name, room=room, members=members))
        _publish(connection, Joined(member=member), include_sender=False)

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
            _publish(connection, Left(member=member))

    def _take(self, connection: Connection, member: Member, message: Incoming) -> None:
        match message:
            case SetName(name=name):
                self._rename(connection, member, name)
            case Say(text=text):
                self._say(connection, member, text)
            case Whisper(to=to, text=text):
                self._whisper(connection, member, to, text)
            case Who():
                self._answer_who(connection)
            case _:
                assert_never(message)

    def _rename(self, connection: Connection, former: Member, name: str) -> None:
        member = self._presence.rename(connection, connection.params["room"], name)
        _publish(connection, Renamed(member=member, former=former.name))

    def _say(self, connection: Connection, sender: Member, text: str) -> None:
        self._check_length(text)
        _publish(connection, Said(sender=sender, text=text, at=connection.node.now()))

    def _whisper(self, connection: Connection, sender: Member, to: str, text: str) -> None:
        self._check_length(text)
        receiver = self._presence.find(connection.params["room"], to)
        whispered = Whispered(sender=sender, to=receiver.member, text=text, at=connection.node.now())
        for hearer in {receiver.connection, connection}:
            _send(hearer, whispered)

    def _answer_who(self, connection: Connection) -> None:
        room = connection.params["room"]
        _send(connection, WhoIsHere(room=room, members=self._presence.members(room)))

    def _check_length(self, text: str) -> None:
        if len(text) > self.options.max_text_characters:
            raise TextTooLongError(len(text), self.options.max_text_characters)


def _send(connection: Connection, outgoing: Outgoing) -> None:
    connection.send(outgoing.to_json())


def _publish(connection: Connection, outgoing: Outgoing, *, include_sender: bool = True) -> None:
    group = room_group(connection.params["room"])
    connection.publish(group, outgoing.to_json(), include_sender=include_sender)


def _fail(connection: Connection, error: ChatError) -> None:
    _send(connection, Failed(error=error.code, message=str(error)))

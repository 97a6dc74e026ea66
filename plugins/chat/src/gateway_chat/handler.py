"""The handler `chat`: rooms with names, who is here, and messages to the room or to one person."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, assert_never

from gateway import HANDLED, Handler
from gateway_chat.errors import ChatError, RoomNameError, TextTooLongError
from gateway_chat.incoming import Say, SetName, Whisper, Who, parse
from gateway_chat.names import suggest_names
from gateway_chat.options import ChatOptions
from gateway_chat.outgoing import Failed, Joined, Left, Renamed, Said, Welcome, Whispered, WhoIsHere
from gateway_chat.rooms import Rooms, as_member, member_group, room_group

if TYPE_CHECKING:
    import gateway
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
        """Find out whether it is known who is in which room."""
        self._rooms = Rooms(node)

    def on_open(self, connection: Connection) -> None:
        """Bring the newcomer into the room, and tell them who is here."""
        room = connection.params["room"]
        if not self.options.room_pattern.fullmatch(room):
            error = RoomNameError()
            _fail(connection, error)
            connection.close(NO_SUCH_ROOM, str(error))
            return
        identity = connection.identity
        names = suggest_names(identity.user if identity is not None else None)
        member = self._rooms.enter(connection, room, names)
        members = self._rooms.members(room)
        _send(connection, Welcome(id=member.id, name=member.name, room=room, members=members))

    def on_message(self, connection: Connection, message: str | bytes) -> object:
        """Do what a member asks for; answer anything else with an error."""
        member = self._rooms.identify(connection)
        if member is not None:
            try:
                self._take(connection, member, parse(message))
            except ChatError as error:
                _fail(connection, error)
        return HANDLED

    # What happens on any node is told on every node, to the connections that it has.

    def on_join(self, group: str, member: gateway.Member, connections: tuple[Connection, ...]) -> None:
        """Tell the others that somebody came."""
        newcomer = as_member(member)
        if newcomer is not None:
            _tell(group, connections, Joined(member=newcomer), but=newcomer)

    def on_change(
        self,
        group: str,
        member: gateway.Member,
        former: gateway.Member,
        connections: tuple[Connection, ...],
    ) -> None:
        """Tell everyone that somebody has another name."""
        now, before = as_member(member), as_member(former)
        if now is not None and before is None:  # who only listened until now
            self.on_join(group, member, connections)
        elif now is not None and before is not None and now.name != before.name:
            _tell(group, connections, Renamed(member=now, former=before.name))

    def on_leave(self, group: str, member: gateway.Member, connections: tuple[Connection, ...]) -> None:
        """Tell the others that somebody went, however their connection ended."""
        gone = as_member(member)
        if gone is not None:
            _tell(group, connections, Left(member=gone))

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
        member = self._rooms.rename(connection, connection.params["room"], name)
        if member == former:
            _send(connection, Renamed(member=member, former=former.name))

    def _say(self, connection: Connection, sender: Member, text: str) -> None:
        self._check_length(text)
        _publish(connection, Said(sender=sender, text=text, at=connection.node.now()))

    def _whisper(self, connection: Connection, sender: Member, to: str, text: str) -> None:
        self._check_length(text)
        room = connection.params["room"]
        receiver = self._rooms.find(room, to)
        whispered = Whispered(sender=sender, to=receiver, text=text, at=connection.node.now()).to_json()
        for hearer in {receiver.id, sender.id}:
            connection.publish(member_group(room, hearer), whispered)

    def _answer_who(self, connection: Connection) -> None:
        room = connection.params["room"]
        _send(connection, WhoIsHere(room=room, members=self._rooms.members(room)))

    def _check_length(self, text: str) -> None:
        if len(text) > self.options.max_text_characters:
            raise TextTooLongError(len(text), self.options.max_text_characters)


def _send(connection: Connection, outgoing: Outgoing) -> None:
    connection.send(outgoing.to_json())


def _publish(connection: Connection, outgoing: Outgoing) -> None:
    connection.publish(room_group(connection.params["room"]), outgoing.to_json())


def _tell(
    group: str, connections: tuple[Connection, ...], outgoing: Outgoing, *, but: Member | None = None
) -> None:
    """Tell a room's connections on this node; others may be in its group for another reason."""
    text = outgoing.to_json()
    for connection in connections:
        if room_group(connection.params["room"]) == group and (but is None or connection.member_id != but.id):
            connection.send(text)


def _fail(connection: Connection, error: ChatError) -> None:
    _send(connection, Failed(error=error.code, message=str(error)))

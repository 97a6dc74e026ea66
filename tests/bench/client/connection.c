/* One connection: its socket, what it has still to send, and the frames that it reads (RFC 6455 section 5). */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };

static void make_room(uint8_t **bytes, size_t *room, size_t needed) {
    if (needed <= *room) return;
    while (*room < needed) *room = *room ? *room * 2 : 256;
    *bytes = realloc(*bytes, *room);
    if (!*bytes) fail("out of memory at %zu bytes", *room);
}

void connection_open(Connection *c) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    char request[1024];
    size_t bytes;
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) fail("no socket for connection %u: %s", c->index, strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (options.sources) {
        /* Each source address has some 28,000 ports of its own. */
        struct sockaddr_in source = {.sin_family = AF_INET};
        source.sin_addr.s_addr = htonl(0x7F000002 + random32() % options.sources);
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(c->fd, (struct sockaddr *)&source, sizeof source)) fail("no source address: %s", strerror(errno));
    }
    if (inet_pton(AF_INET, options.host, &server.sin_addr) != 1) fail("not an IPv4 address: %s", options.host);
    c->opened_at = clock_ns();
    c->state = OPENING;
    c->rest_bytes = c->out_from = c->out_to = 0;
    c->sent = c->received = 0;
    c->wants_write = 0;
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS)
        fail("connection %u cannot connect: %s", c->index, strerror(errno));
    loop_register(c);
    make_request(c, request, sizeof request, &bytes);
    make_room(&c->out, &c->out_room, bytes);
    memcpy(c->out, request, bytes);
    c->out_to = bytes;
    connection_flush(c);
}

/* Close by RST: no TIME_WAIT is left that would use up the ports. */
void connection_reset(Connection *c) {
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(c->fd);
    c->fd = -1;
    c->state = CLOSED;
}

/* Append one masked frame; connection_flush writes what has gathered. */
void connection_send(Connection *c, int opcode, const uint8_t *payload, size_t bytes) {
    uint32_t mask = random32();
    uint64_t wide = (uint64_t)mask << 32 | mask, word;
    make_room(&c->out, &c->out_room, c->out_to + bytes + 14);
    uint8_t *to = c->out + c->out_to;
    *to++ = (uint8_t)(0x80 | opcode);
    if (bytes < 126) {
        *to++ = (uint8_t)(0x80 | bytes);
    } else if (bytes < 65536) {
        *to++ = 0x80 | 126;
        for (int i = 1; i >= 0; i--) *to++ = (uint8_t)(bytes >> (8 * i));
    } else {
        *to++ = 0x80 | 127;
        for (int i = 7; i >= 0; i--) *to++ = (uint8_t)(bytes >> (8 * i));
    }
    memcpy(to, &mask, 4);
    to += 4;
    size_t i = 0;
    for (; i + 8 <= bytes; i += 8) memcpy(&word, payload + i, 8), word ^= wide, memcpy(to + i, &word, 8);
    for (; i < bytes; i++) to[i] = (uint8_t)(payload[i] ^ (uint8_t)(mask >> (8 * (i & 3))));
    c->out_to = (size_t)(to - c->out) + bytes;
}

void connection_flush(Connection *c) {
    while (c->out_from < c->out_to) {
        ssize_t sent = send(c->fd, c->out + c->out_from, c->out_to - c->out_from, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN) {
            loop_want_write(c, 1);
            return;
        }
        if (sent < 0) fail("connection %u cannot send: %s", c->index, strerror(errno));
        c->out_from += (size_t)sent;
    }
    c->out_from = c->out_to = 0;
    loop_want_write(c, 0);
}

static void control_frame(Connection *c, int opcode, const uint8_t *payload, size_t bytes) {
    if (opcode == PING) {
        connection_send(c, PONG, payload, bytes);
        connection_flush(c);
    } else if (opcode == CLOSE) {
        int code = bytes >= 2 ? payload[0] << 8 | payload[1] : 1005;
        fail("connection %u was closed by the server with %d %.*s", c->index, code,
             bytes > 2 ? (int)bytes - 2 : 0, bytes > 2 ? (const char *)payload + 2 : "");
    } else if (opcode != PONG) {
        fail("connection %u got a frame with opcode %d", c->index, opcode);
    }
}

/* Hand on every whole frame and return the bytes that they took. */
static size_t read_frames(Connection *c, const Mode *mode, const uint8_t *bytes, size_t count) {
    size_t at = 0;
    while (count - at >= 2) {
        const uint8_t *frame = bytes + at;
        size_t head = 2;
        uint64_t length = frame[1] & 127;
        if (frame[1] & 128) fail("connection %u got a masked frame", c->index);
        /* RSV1 marks a compressed message (RFC 7692 section 6), and only data may be one. */
        int compressed = options.deflate && (frame[0] & 0xC8) == 0xC0;
        if ((frame[0] & 0xF0) != (compressed ? 0xC0 : 0x80))
            fail("connection %u got a frame with first byte 0x%02x", c->index, frame[0]);
        if (length >= 126) {
            head += length == 126 ? 2 : 8;
            if (count - at < head) break;
            length = 0;
            for (size_t i = 2; i < head; i++) length = length << 8 | frame[i];
            if (length > BUFFER_BYTES - 16) fail("connection %u got a frame of %llu bytes", c->index, (unsigned long long)length);
        }
        if (count - at < head + length) break;
        if ((frame[0] & 15) == TEXT) {
            size_t bytes = length;
            const uint8_t *message = compressed ? inflated(frame + head, length, &bytes) : frame + head;
            c->compressed = compressed;
            wire_add(head + length);
            if (mode->on_message) mode->on_message(c, message, bytes);
        } else {
            control_frame(c, frame[0] & 15, frame + head, length);
        }
        at += head + length;
    }
    return at;
}

void connection_read(Connection *c, const Mode *mode) {
    static uint8_t buffer[BUFFER_BYTES];
    size_t count = c->rest_bytes, used = 0;
    if (count) memcpy(buffer, c->rest, count);
    ssize_t got = recv(c->fd, buffer + count, sizeof buffer - count, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got < 0) fail("connection %u cannot read: %s", c->index, strerror(errno));
    if (got == 0) fail("connection %u was closed by the server without a Close frame", c->index);
    now = clock_ns();
    count += (size_t)got;
    if (c->state == OPENING && (used = check_response(c, buffer, count))) {
        c->state = OPEN;
        if (mode->on_open) mode->on_open(c);
        if (c->state != OPEN) return;
    }
    if (c->state == OPEN) used += read_frames(c, mode, buffer + used, count - used);
    c->rest_bytes = count - used;
    if (c->rest_bytes) {
        make_room(&c->rest, &c->rest_room, c->rest_bytes);
        memcpy(c->rest, buffer + used, c->rest_bytes);
    }
    if (c->state == OPEN && mode->on_read) mode->on_read(c);
}

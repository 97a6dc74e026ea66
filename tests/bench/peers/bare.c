/* The yardstick: a bare epoll loop that answers `/echo` and `/fan`, and does no more than a server must.
   It makes the same bytes as the others: one send() to each receiver for all that one read brought. So with one
   publication in flight a member costs one system call, and with sixteen these share one.
   No limits, no pings, no text check, one process, one core. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../client/load.h"

typedef struct Peer {
    int fd, is_open, is_member;
    size_t place;         /* among the members */
    uint8_t *in, *out;    /* a frame that has not come whole; what the socket did not take */
    size_t in_bytes, out_bytes;
} Peer;

static int epoll_fd;
static Peer **members;
static size_t member_count, member_room;

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static void watch(int operation, Peer *peer, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = peer};
    if (epoll_ctl(epoll_fd, operation, fd, &event)) fail("epoll_ctl: %s", strerror(errno));
}

static void *resized(void *bytes, size_t room) {
    void *result = realloc(bytes, room ? room : 1);
    if (!result) fail("out of memory at %zu bytes", room);
    return result;
}

static void keep(uint8_t **buffer, size_t *have, const uint8_t *bytes, size_t count) {
    *buffer = resized(*buffer, *have + count);
    memcpy(*buffer + *have, bytes, count);
    *have += count;
}

static void give(Peer *peer, const uint8_t *bytes, size_t count) {
    ssize_t sent = 0;
    if (!peer->out_bytes) {
        sent = send(peer->fd, bytes, count, MSG_NOSIGNAL);
        if (sent == (ssize_t)count) return;
        if (sent < 0) sent = 0; /* full, or lost: a lost one is found when it is read */
        watch(EPOLL_CTL_MOD, peer, peer->fd, EPOLLIN | EPOLLOUT);
    }
    keep(&peer->out, &peer->out_bytes, bytes + sent, count - (size_t)sent);
}

static void give_rest(Peer *peer) {
    ssize_t sent = send(peer->fd, peer->out, peer->out_bytes, MSG_NOSIGNAL);
    if (sent <= 0) return;
    peer->out_bytes -= (size_t)sent;
    memmove(peer->out, peer->out + sent, peer->out_bytes);
    if (!peer->out_bytes) watch(EPOLL_CTL_MOD, peer, peer->fd, EPOLLIN);
}

static void end(Peer *peer) {
    if (peer->is_member) {
        members[peer->place] = members[--member_count];
        members[peer->place]->place = peer->place;
    }
    close(peer->fd);
    free(peer->in);
    free(peer->out);
    free(peer);
}

static void join(Peer *peer) {
    if (member_count == member_room) members = resized(members, (member_room += 1024) * sizeof *members);
    peer->is_member = 1;
    peer->place = member_count;
    members[member_count++] = peer;
}

/* Answer the opening handshake and return the bytes of its head; 0 while it has not come whole. */
static size_t open_peer(Peer *peer, const uint8_t *bytes, size_t count) {
    static const char name[] = "Sec-WebSocket-Key: ";
    char key[25] = "", accept[29], response[256];
    const uint8_t *head_end = memmem(bytes, count, "\r\n\r\n", 4);
    const uint8_t *field = head_end ? memmem(bytes, count, name, sizeof name - 1) : NULL;
    if (!field) return 0;
    memcpy(key, field + sizeof name - 1, 24);
    accept_of_key(key, accept);
    int length = snprintf(response, sizeof response,
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
    peer->is_open = 1;
    if (!strncmp((const char *)bytes, "GET /fan ", 9)) join(peer);
    give(peer, (const uint8_t *)response, (size_t)length);
    return (size_t)(head_end + 4 - bytes);
}

/* Unmask each whole frame into `out` as a server frame; return the bytes read and, in `made`, those written. */
static size_t turn_round(uint8_t *bytes, size_t count, uint8_t *out, size_t *made) {
    size_t at = 0;
    *made = 0;
    while (count - at >= 6) {
        uint8_t *frame = bytes + at;
        size_t head = 2, length = frame[1] & 127;
        if (length == 127) fail("a frame of more than 65535 bytes");
        if (length == 126) head = 4, length = (size_t)frame[2] << 8 | frame[3];
        if (count - at < head + 4 + length) break;
        if ((frame[0] & 15) <= 2) {
            uint8_t *to = out + *made, *mask = frame + head;
            memcpy(to, frame, head);
            to[1] &= 127;
            uint64_t wide, word;
            memcpy(&wide, mask, 4), memcpy((uint8_t *)&wide + 4, mask, 4);
            size_t i = 0;
            for (; i + 8 <= length; i += 8)
                memcpy(&word, mask + 4 + i, 8), word ^= wide, memcpy(to + head + i, &word, 8);
            for (; i < length; i++) to[head + i] = mask[4 + i] ^ mask[i & 3];
            *made += head + length;
        }
        at += head + 4 + length;
    }
    return at;
}

static void read_peer(Peer *peer) {
    static uint8_t buffer[BUFFER_BYTES], out[BUFFER_BYTES];
    size_t count = peer->in_bytes, used = 0, made = 0;
    if (count) memcpy(buffer, peer->in, count);
    ssize_t got = recv(peer->fd, buffer + count, sizeof buffer - count, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        end(peer);
        return;
    }
    count += (size_t)got;
    if (!peer->is_open) used = open_peer(peer, buffer, count);
    if (peer->is_open) used += turn_round(buffer + used, count - used, out, &made);
    peer->in_bytes = 0;
    if (used < count) keep(&peer->in, &peer->in_bytes, buffer + used, count - used);
    if (!made) return;
    if (!peer->is_member) give(peer, out, made);
    else
        for (size_t i = 0; i < member_count; i++) give(members[i], out, made);
}

static void accept_all(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        Peer *peer = calloc(1, sizeof *peer);
        if (!peer) fail("out of memory");
        peer->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(EPOLL_CTL_ADD, peer, fd, EPOLLIN);
    }
}

int main(int count, char **arguments) {
    if (count != 2) fail("usage: bare PORT");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[1]))};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024))
        fail("cannot listen on port %s: %s", arguments[1], strerror(errno));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch(EPOLL_CTL_ADD, NULL, listener, EPOLLIN);
    for (;;) {
        struct epoll_event events[512];
        int ready = epoll_wait(epoll_fd, events, 512, -1);
        for (int i = 0; i < ready; i++) {
            Peer *peer = events[i].data.ptr;
            if (!peer) {
                accept_all(listener);
                continue;
            }
            if (events[i].events & EPOLLOUT) give_rest(peer);
            if (events[i].events & ~(uint32_t)EPOLLOUT) read_peer(peer);
        }
    }
}

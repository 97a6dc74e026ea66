/* The event loop: level-triggered epoll over all connections. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "load.h"

#define OPENING_DEADLINE_NS 60000000000ull

Connection *connections;
uint64_t now;
static int epoll_fd;
static const Mode *mode;

void loop_start(const Mode *chosen) {
    mode = chosen;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) fail("no epoll: %s", strerror(errno));
    connections = calloc(options.connections, sizeof *connections);
    if (!connections) fail("out of memory for %u connections", options.connections);
    for (uint32_t i = 0; i < options.connections; i++) connections[i].index = i, connections[i].fd = -1;
    now = clock_ns();
}

static void control(int operation, int fd, uint32_t events, void *data) {
    struct epoll_event event = {.events = events, .data.ptr = data};
    if (epoll_ctl(epoll_fd, operation, fd, &event)) fail("epoll_ctl: %s", strerror(errno));
}

void loop_register(Connection *c) { control(EPOLL_CTL_ADD, c->fd, EPOLLIN, c); }

void loop_watch_input(void) { control(EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN, NULL); }

void loop_want_write(Connection *c, int wanted) {
    if (c->wants_write == wanted) return;
    c->wants_write = wanted;
    control(EPOLL_CTL_MOD, c->fd, wanted ? EPOLLIN | EPOLLOUT : EPOLLIN, c);
}

void loop_turn(int timeout_ms) {
    struct epoll_event events[512];
    int count = epoll_wait(epoll_fd, events, 512, timeout_ms);
    if (count < 0 && errno != EINTR) fail("epoll_wait: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
        Connection *c = events[i].data.ptr;
        if (!c) {
            mode->on_input();
            continue;
        }
        if (events[i].events & EPOLLOUT) connection_flush(c);
        if (events[i].events & ~(uint32_t)EPOLLOUT) connection_read(c, mode);
    }
    now = clock_ns();
    if (mode->on_turn) mode->on_turn();
}

void loop_until(uint64_t deadline) {
    while (now < deadline) {
        uint64_t left_ms = (deadline - now) / 1000000;
        loop_turn(left_ms > 100 ? 100 : (int)left_ms);
    }
}

/* Open every connection, at most `concurrency` of them at a time. */
void open_all(void) {
    uint32_t started = 0, opened = 0;
    uint64_t deadline = clock_ns() + OPENING_DEADLINE_NS;
    while (opened < options.connections) {
        while (started < options.connections && started - opened < options.concurrency)
            connection_open(&connections[started++]);
        loop_turn(100);
        while (opened < started && connections[opened].state == OPEN) opened++;
        if (now > deadline) fail("only %u of %u connections opened within 60 seconds", opened, options.connections);
    }
}

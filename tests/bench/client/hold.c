/* hold: open the connections and keep them; the line "publish" proves that all are members; end of input ends it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

#define PUBLISH_NS 20000000000ull

static uint32_t received;

static void on_message(Connection *c, const uint8_t *message, size_t bytes) {
    payload_check(message, bytes, 'h', 0, 0);
    if (c->received++) fail("member %u got one publication twice", c->index);
    received++;
}

static void publish(void) {
    static uint8_t payload[BUFFER_BYTES];
    uint64_t deadline = now + PUBLISH_NS;
    payload_write(payload, 'h', 0, 0);
    connection_send(&connections[0], 1, payload, options.size);
    connection_flush(&connections[0]);
    while (received < options.connections && now < deadline) loop_turn(100);
    if (received < options.connections) fail("only %u of %u members got the publication", received, options.connections);
    printf("{\"mode\": \"hold\", \"received\": %u}\n", received);
    fflush(stdout);
}

static void on_input(void) {
    char line[64];
    ssize_t got = read(STDIN_FILENO, line, sizeof line);
    if (got <= 0) exit(0);
    if (got >= 7 && !strncmp(line, "publish", 7)) publish();
}

void run_hold(void) {
    static const Mode mode = {.on_message = on_message, .on_input = on_input};
    loop_start(&mode);
    open_all();
    printf("{\"mode\": \"hold\", \"path\": \"%s\", \"open\": %u}\n", options.path, options.connections);
    fflush(stdout);
    loop_watch_input();
    for (;;) loop_turn(1000);
}

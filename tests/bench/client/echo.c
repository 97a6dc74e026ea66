/* echo: every connection keeps `in_flight` messages under way, or sends its share of a fixed rate. */
#include <stdlib.h>

#include "load.h"

#define DRAIN_NS 10000000000ull
#define PACED_RING 1024

static uint64_t count;
static uint32_t ring;
static int stopping;
static uint8_t payload[BUFFER_BYTES];

static void send_one(Connection *c, uint64_t at) {
    payload_write(payload, 'e', c->index, c->sent);
    c->sent_at[c->sent++ % ring] = at;
    connection_send(c, 1, payload, options.size);
}

static void on_message(Connection *c, const uint8_t *message, size_t bytes) {
    if (c->received == c->sent) fail("connection %u got a message that it did not ask for", c->index);
    payload_check(message, bytes, 'e', c->index, c->received);
    latency_add(now - c->sent_at[c->received++ % ring]);
    count++;
}

/* All that one read brought is answered with one write, as a client with that many requests under way would. */
static void on_read(Connection *c) {
    if (options.rate > 0 || stopping) return;
    while (c->sent - c->received < options.in_flight) send_one(c, now);
    connection_flush(c);
}

/* Open loop: a message's latency counts from when it was due, so that a stalled server hides nothing. */
static void send_paced(uint64_t from, uint64_t until) {
    double gap = 1e9 / options.rate;
    for (uint64_t next = 0;; next++) {
        uint64_t due = from + (uint64_t)((double)next * gap);
        if (due >= until) return;
        while (now < due) loop_turn(due - now > 2000000 ? 1 : 0);
        Connection *c = &connections[next % options.connections];
        if (c->sent - c->received == ring) fail("the server does not keep up with %.0f messages a second", options.rate);
        send_one(c, due);
        connection_flush(c);
        /* A late sender catches up in one go; it must still read meanwhile. */
        if (next % 64 == 63) loop_turn(0);
    }
}

static void run_for(double seconds) {
    uint64_t until = now + (uint64_t)(seconds * 1e9);
    if (options.rate > 0) send_paced(now, until);
    else loop_until(until);
}

void run_echo(void) {
    static const Mode mode = {.on_message = on_message, .on_read = on_read};
    ring = options.rate > 0 ? PACED_RING : options.in_flight;
    loop_start(&mode);
    for (uint32_t i = 0; i < options.connections; i++)
        if (!(connections[i].sent_at = calloc(ring, sizeof(uint64_t)))) fail("out of memory");
    stopping = 1;
    open_all();
    stopping = 0;
    for (uint32_t i = 0; i < options.connections; i++) on_read(&connections[i]);
    run_for(options.warmup);
    count = 0;
    window_begin();
    run_for(options.seconds);
    window_end();
    uint64_t measured = count, deadline = now + DRAIN_NS;
    stopping = 1;
    for (uint32_t i = 0; i < options.connections; i++) {
        Connection *c = &connections[i];
        while (c->received < c->sent && now < deadline) loop_turn(100);
        if (c->received < c->sent) fail("connection %u got %u of %u messages back", i, c->received, c->sent);
    }
    report(options.rate > 0 ? "paced" : "echo", measured);
}

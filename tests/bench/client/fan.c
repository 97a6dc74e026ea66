/* fan: connection 0 publishes, all of them are members; a publication is over when every member has got it. */
#include <stdlib.h>

#include "load.h"

#define PROBE_NS 200000000ull
#define JOIN_NS 20000000000ull
#define DRAIN_NS 10000000000ull

static uint64_t count, *published_at;
static uint32_t published, over, joined, *deliveries;
static int probing, stopping;
static uint8_t payload[BUFFER_BYTES];

static void on_message(Connection *c, const uint8_t *message, size_t bytes) {
    /* Probes of the joining phase may be under way still, but only before the first publication. */
    if (payload_kind(message, bytes) == 'p' && c->received == 0) {
        payload_check(message, bytes, 'p', 0, 0);
        if (!c->sent) c->sent = 1, joined++;
        return;
    }
    if (probing || c->received == published) fail("member %u got a publication that nobody made", c->index);
    if (options.deflate && !c->compressed) fail("member %u got a publication that is not compressed", c->index);
    payload_check(message, bytes, 'm', 0, c->received);
    uint32_t slot = c->received++ % options.in_flight;
    latency_add(now - published_at[slot]);
    count++;
    if (++deliveries[slot] == options.connections) over++;
}

static void on_turn(void) {
    if (probing || stopping || published - over == options.in_flight) return;
    while (published - over < options.in_flight) {
        uint32_t slot = published % options.in_flight;
        deliveries[slot] = 0;
        published_at[slot] = now;
        payload_write(payload, 'm', 0, published++);
        connection_send(&connections[0], 1, payload, options.size);
    }
    connection_flush(&connections[0]);
}

/* A server may answer 101 before it joins the member to the group: publish until all have got something. */
static void wait_until_joined(void) {
    uint64_t deadline = now + JOIN_NS;
    while (joined < options.connections) {
        if (now > deadline) fail("only %u of %u members get what is published", joined, options.connections);
        payload_write(payload, 'p', 0, 0);
        connection_send(&connections[0], 1, payload, options.size);
        connection_flush(&connections[0]);
        uint64_t next = now + PROBE_NS;
        while (joined < options.connections && now < next) loop_turn(10);
    }
}

void run_fan(void) {
    static const Mode mode = {.on_message = on_message, .on_turn = on_turn};
    deliveries = calloc(options.in_flight, sizeof *deliveries);
    published_at = calloc(options.in_flight, sizeof *published_at);
    if (!deliveries || !published_at) fail("out of memory");
    loop_start(&mode);
    probing = 1;
    open_all();
    wait_until_joined();
    probing = 0;
    on_turn();
    loop_until(now + (uint64_t)(options.warmup * 1e9));
    count = 0;
    window_begin();
    loop_until(now + (uint64_t)(options.seconds * 1e9));
    window_end();
    uint64_t measured = count, deadline = now + DRAIN_NS;
    stopping = 1;
    for (uint32_t i = 0; i < options.connections; i++) {
        Connection *c = &connections[i];
        while (c->received < published && now < deadline) loop_turn(100);
        if (c->received < published) fail("member %u got %u of %u publications", i, c->received, published);
    }
    report("fan", measured);
}

/* handshakes: `concurrency` connections are opened, checked, reset, and opened again. */
#include "load.h"

static uint64_t count;
static int stopping;

static void on_open(Connection *c) {
    latency_add(now - c->opened_at);
    count++;
    connection_reset(c);
    if (!stopping) connection_open(c);
}

void run_handshakes(void) {
    static const Mode mode = {.on_open = on_open};
    options.connections = options.concurrency;
    loop_start(&mode);
    for (uint32_t i = 0; i < options.connections; i++) connection_open(&connections[i]);
    loop_until(now + (uint64_t)(options.warmup * 1e9));
    count = 0;
    window_begin();
    loop_until(now + (uint64_t)(options.seconds * 1e9));
    window_end();
    stopping = 1;
    report("handshakes", count);
}

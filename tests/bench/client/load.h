/* The load client's shared words: options, connections, the loop, the report. */
#ifndef LOAD_H
#define LOAD_H

#include <stddef.h>
#include <stdint.h>

#define MAX_PIDS 64
#define BUFFER_BYTES (1 << 18)

typedef struct Options {
    const char *host, *path, *token;       /* token: sent as `Authorization: Bearer`; NULL: none */
    int port;
    uint32_t connections, in_flight, size; /* size: bytes of a message's payload, at least 17 */
    uint32_t concurrency;                  /* opening handshakes under way at once */
    uint32_t sources;                      /* source addresses 127.0.0.2 and up; 0: the system's choice */
    int deflate;                           /* offer permessage-deflate, and insist on it */
    int json;                              /* messages are JSON documents of `size` bytes */
    double seconds, warmup, rate;          /* rate: messages a second over all connections, 0: closed loop */
    int pids[MAX_PIDS], pid_count;         /* the server's processes, whose CPU time is read */
} Options;

typedef enum State { CLOSED, OPENING, OPEN } State;

typedef struct Connection {
    int fd;
    State state;
    uint32_t index;
    int wants_write;
    uint32_t sent, received; /* messages */
    int compressed;          /* the message that is being handed on was */
    char accept[29];         /* the Sec-WebSocket-Accept that proves the server read our key */
    uint64_t opened_at;      /* ns, when connect() was called */
    uint64_t *sent_at;       /* ns, a ring of the messages in flight */
    uint8_t *rest;           /* bytes of a head or frame that has not come whole */
    size_t rest_bytes, rest_room;
    uint8_t *out;
    size_t out_from, out_to, out_room;
} Connection;

/* What a mode does; each may be NULL. */
typedef struct Mode {
    void (*on_open)(Connection *);
    void (*on_message)(Connection *, const uint8_t *payload, size_t bytes);
    void (*on_read)(Connection *); /* after the last message of one read */
    void (*on_turn)(void);         /* after all reads of one turn of the loop */
    void (*on_input)(void);        /* standard input can be read */
} Mode;

extern Options options;
extern Connection *connections;
extern uint64_t now; /* ns, the time of the latest read or turn */

/* loop.c */
void loop_start(const Mode *mode);
void loop_watch_input(void);
void loop_turn(int timeout_ms);
void loop_until(uint64_t deadline);
void open_all(void);

/* connection.c */
void connection_open(Connection *c);
void connection_reset(Connection *c);
void connection_send(Connection *c, int opcode, const uint8_t *payload, size_t bytes);
void connection_flush(Connection *c);
void connection_read(Connection *c, const Mode *mode);
void loop_register(Connection *c);
void loop_want_write(Connection *c, int wanted);

/* handshake.c */
void make_request(Connection *c, char *request, size_t room, size_t *bytes);
size_t check_response(Connection *c, const uint8_t *bytes, size_t count);

/* accept.c */
void accept_of_key(const char *key, char accept[29]);

/* payload.c */
void payload_write(uint8_t *payload, char kind, uint32_t member, uint32_t sequence);
char payload_kind(const uint8_t *payload, size_t bytes);
void payload_check(const uint8_t *payload, size_t bytes, char kind, uint32_t member, uint32_t sequence);

/* inflate.c */
const uint8_t *inflated(const uint8_t *payload, size_t bytes, size_t *message_bytes);

/* report.c */
uint64_t clock_ns(void);
uint32_t random32(void);
double server_cpu_seconds(void);
void latency_add(uint64_t ns);
void wire_add(size_t bytes);
void window_begin(void);
void window_end(void);
void report(const char *mode, uint64_t count);
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* one mode a file */
void run_echo(void);
void run_fan(void);
void run_handshakes(void);
void run_hold(void);

#endif

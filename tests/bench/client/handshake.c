/* The client's half of the opening handshake (RFC 6455 section 4.1), with every check it asks for. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "load.h"

/* Without a context, a publication can be the same bytes for all its receivers. */
#define DEFLATE "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

/* 22 random characters and "==" decode to 16 bytes when the last character carries two bits: A, Q, g or w. */
static void make_key(char key[25]) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 21; i++) key[i] = letters[random32() >> 26];
    key[21] = "AQgw"[random32() >> 30];
    memcpy(key + 22, "==", 3);
}

void make_request(Connection *c, char *request, size_t room, size_t *bytes) {
    char key[25], authorization[256] = "";
    if (options.token) {
        int written = snprintf(authorization, sizeof authorization, "Authorization: Bearer %s\r\n", options.token);
        if (written >= (int)sizeof authorization) fail("the token is too long: %zu bytes", strlen(options.token));
    }
    make_key(key);
    accept_of_key(key, c->accept);
    *bytes = (size_t)snprintf(request, room,
                              "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n"
                              "Origin: http://%s:%d\r\nUser-Agent: bench\r\n%s%s\r\n",
                              options.path, options.host, options.port, key, options.host, options.port, authorization,
                              options.deflate ? "Sec-WebSocket-Extensions: " DEFLATE "\r\n" : "");
    if (*bytes >= room) fail("the request is too long: %zu bytes", *bytes);
}

/* The value of a header that must stand exactly once, without the white space around it. */
static size_t header(const char *head, const char *end, const char *name, const char **value) {
    size_t name_bytes = strlen(name), found = 0, bytes = 0;
    for (const char *line = memchr(head, '\n', (size_t)(end - head)); line; line = memchr(line, '\n', (size_t)(end - line))) {
        line++;
        if ((size_t)(end - line) <= name_bytes || line[name_bytes] != ':' || strncasecmp(line, name, name_bytes))
            continue;
        const char *from = line + name_bytes + 1, *to = memchr(line, '\r', (size_t)(end - line));
        while (from < to && (*from == ' ' || *from == '\t')) from++;
        while (to > from && (to[-1] == ' ' || to[-1] == '\t')) to--;
        *value = from, bytes = (size_t)(to - from), found++;
    }
    return found == 1 ? bytes : 0;
}

/* Return the bytes of the response's head, 0 while it has not come whole; end the run when it is not ours. */
size_t check_response(Connection *c, const uint8_t *bytes, size_t count) {
    const uint8_t *end = memmem(bytes, count, "\r\n\r\n", 4);
    if (!end) {
        if (count > 16384) fail("the response has no end after %zu bytes", count);
        return 0;
    }
    const char *head = (const char *)bytes, *last = (const char *)end + 2, *value = NULL;
    int shown = (int)(end - bytes > 300 ? 300 : end - bytes);
    if (strncmp(head, "HTTP/1.1 101 ", 13)) fail("the opening handshake was refused: %.*s", shown, head);
    if (header(head, last, "Upgrade", &value) != 9 || strncasecmp(value, "websocket", 9))
        fail("the response lacks Upgrade: websocket: %.*s", shown, head);
    if (header(head, last, "Connection", &value) != 7 || strncasecmp(value, "upgrade", 7))
        fail("the response lacks Connection: Upgrade: %.*s", shown, head);
    if (header(head, last, "Sec-WebSocket-Accept", &value) != 28 || strncmp(value, c->accept, 28))
        fail("the response's Sec-WebSocket-Accept is wrong, expected %s: %.*s", c->accept, shown, head);
    size_t extension = header(head, last, "Sec-WebSocket-Extensions", &value);
    if (!options.deflate && extension) fail("an extension that was not offered: %.*s", shown, head);
    if (options.deflate && (extension < 18 || strncasecmp(value, "permessage-deflate", 18) ||
                            !memmem(value, extension, "server_no_context_takeover", 26)))
        fail("the response agrees to no permessage-deflate without a context: %.*s", shown, head);
    return (size_t)(end + 4 - bytes);
}

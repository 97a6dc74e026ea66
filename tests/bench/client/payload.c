/* What a message says: a kind, a member and a sequence number, within a fixed text or a fixed JSON document. */
#include <stdio.h>
#include <string.h>

#include "load.h"

#define ID_BYTES 17

static const char hex[] = "0123456789abcdef";
static const char fill[] = "the quick brown fox jumps over the lazy dog ";
static const char before[] = "{\"id\":\"";

static size_t id_at(void) { return options.json ? sizeof before - 1 : 0; }

/* Prices of some shares, as a page of quotes would get them; what is left of `size` is white space. */
static void fill_json(uint8_t *payload) {
    static const char *const names[] = {"ACME", "GLOBEX", "INITECH", "UMBRELLA", "HOOLI", "STARK", "WAYNE", "TYRELL"};
    char text[128];
    size_t at = sizeof before - 1 + ID_BYTES;
    uint32_t seed = 12345;
    memset(payload, ' ', options.size);
    memcpy(payload, before, sizeof before - 1);
    memcpy(payload + at, "\",\"quotes\":[", 12);
    at += 12;
    for (int i = 0;; i++) {
        uint32_t drawn[4];
        for (int j = 0; j < 4; j++) drawn[j] = (seed = seed * 1664525 + 1013904223) >> 8;
        int bytes = snprintf(text, sizeof text,
                             "%s{\"symbol\":\"%s\",\"bid\":%u.%02u,\"ask\":%u.%02u,\"volume\":%u,\"open\":%s}", i ? "," : "",
                             names[drawn[0] % 8], 10 + drawn[1] % 900, drawn[1] % 97, 10 + drawn[2] % 900,
                             drawn[2] % 89, drawn[3] % 1000000, drawn[3] & 1 ? "true" : "false");
        if (at + (size_t)bytes + 2 > options.size) break;
        memcpy(payload + at, text, (size_t)bytes);
        at += (size_t)bytes;
    }
    payload[at] = ']';
    payload[options.size - 1] = '}';
}

void payload_write(uint8_t *payload, char kind, uint32_t member, uint32_t sequence) {
    if (!payload[options.size - 1]) {
        if (options.json) fill_json(payload);
        else
            for (uint32_t i = ID_BYTES; i < options.size; i++) payload[i] = (uint8_t)fill[i % (sizeof fill - 1)];
    }
    uint8_t *id = payload + id_at();
    id[0] = (uint8_t)kind;
    for (int i = 8; i > 0; i--, member >>= 4) id[i] = (uint8_t)hex[member & 15];
    for (int i = 16; i > 8; i--, sequence >>= 4) id[i] = (uint8_t)hex[sequence & 15];
}

/* The kind that a message says it is, 0 for one that is too short to say. */
char payload_kind(const uint8_t *payload, size_t bytes) { return bytes > id_at() ? (char)payload[id_at()] : 0; }

void payload_check(const uint8_t *payload, size_t bytes, char kind, uint32_t member, uint32_t sequence) {
    static uint8_t expected[BUFFER_BYTES];
    payload_write(expected, kind, member, sequence);
    int shown = bytes > 100 ? 100 : (int)bytes;
    if (bytes != options.size)
        fail("a message of %zu bytes came back, expected %u: %.*s", bytes, options.size, shown, payload);
    if (memcmp(payload, expected, bytes))
        fail("a message came back as: %.*s, expected: %.*s", shown, payload, shown, expected);
}

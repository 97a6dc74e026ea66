/* What a message says: a kind, a member and a sequence number, then a fixed text up to the size asked for. */
#include <string.h>

#include "load.h"

static const char hex[] = "0123456789abcdef";
static const char fill[] = "the quick brown fox jumps over the lazy dog ";

void payload_write(uint8_t *payload, char kind, uint32_t member, uint32_t sequence) {
    if (!payload[options.size - 1])
        for (uint32_t i = 17; i < options.size; i++) payload[i] = (uint8_t)fill[i % (sizeof fill - 1)];
    payload[0] = (uint8_t)kind;
    for (int i = 8; i > 0; i--, member >>= 4) payload[i] = (uint8_t)hex[member & 15];
    for (int i = 16; i > 8; i--, sequence >>= 4) payload[i] = (uint8_t)hex[sequence & 15];
}

void payload_check(const uint8_t *payload, size_t bytes, char kind, uint32_t member, uint32_t sequence) {
    static uint8_t expected[BUFFER_BYTES];
    payload_write(expected, kind, member, sequence);
    int shown = bytes > 100 ? 100 : (int)bytes;
    if (bytes != options.size)
        fail("a message of %zu bytes came back, expected %u: %.*s", bytes, options.size, shown, payload);
    if (memcmp(payload, expected, bytes))
        fail("a message came back as: %.*s, expected: %.*s", shown, payload, shown, expected);
}

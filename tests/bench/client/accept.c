/* Sec-WebSocket-Accept (RFC 6455 section 4.2.2): SHA-1 (RFC 3174) and base64 of one short text. */
#include <stdio.h>
#include <string.h>

#include "load.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static uint32_t rotate(uint32_t value, int by) { return value << by | value >> (32 - by); }

static void sha1_block(uint32_t state[5], const uint8_t *block) {
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++, block += 4)
        w[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 | block[3];
    for (int i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) f = (b & c) | (~b & d), k = 0x5A827999;
        else if (i < 40) f = b ^ c ^ d, k = 0x6ED9EBA1;
        else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDC;
        else f = b ^ c ^ d, k = 0xCA62C1D6;
        uint32_t next = rotate(a, 5) + f + e + k + w[i];
        e = d, d = c, c = rotate(b, 30), b = a, a = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* Key and GUID are 60 bytes, so the padded text is always two blocks. */
static void sha1_of_two_blocks(const char *text, size_t bytes, uint8_t digest[20]) {
    uint8_t padded[128] = {0};
    uint32_t state[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    memcpy(padded, text, bytes);
    padded[bytes] = 0x80;
    padded[126] = (uint8_t)(bytes * 8 >> 8);
    padded[127] = (uint8_t)(bytes * 8);
    sha1_block(state, padded);
    sha1_block(state, padded + 64);
    for (int i = 0; i < 20; i++) digest[i] = (uint8_t)(state[i / 4] >> (24 - i % 4 * 8));
}

void accept_of_key(const char *key, char accept[29]) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[128];
    uint8_t digest[21] = {0};
    int bytes = snprintf(text, sizeof text, "%s%s", key, GUID);
    if (bytes != 60) fail("a key is %d bytes with the GUID, not 60", bytes);
    sha1_of_two_blocks(text, (size_t)bytes, digest);
    for (int i = 0, j = 0; i < 21; i += 3, j += 4) {
        uint32_t triple = (uint32_t)digest[i] << 16 | (uint32_t)digest[i + 1] << 8 | digest[i + 2];
        for (int k = 0; k < 4; k++) accept[j + k] = letters[triple >> (18 - 6 * k) & 63];
    }
    accept[27] = '=';
    accept[28] = 0;
}

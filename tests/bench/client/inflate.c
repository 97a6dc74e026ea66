/* Compressed messages (RFC 7692 section 7.2.2), inflated (RFC 1951) without speed, so that nothing need be installed. */
#include <string.h>

#include "load.h"

#define KEPT 64 /* more than the publications that are ever in flight to a group here */
#define MOST_BITS 15

static struct Kept {
    size_t bytes, message_bytes;
    uint8_t payload[BUFFER_BYTES / 4 + 4], message[BUFFER_BYTES / 2];
} kept[KEPT];

static const uint8_t *input;
static size_t input_bits, at_bit;

static unsigned bits(int count) {
    unsigned value = 0;
    if (at_bit + (size_t)count > input_bits) fail("a compressed message ends within a block");
    for (int i = 0; i < count; i++, at_bit++) value |= (unsigned)(input[at_bit / 8] >> (at_bit % 8) & 1) << i;
    return value;
}

/* A canonical Huffman code (section 3.2.2): how many codes there are of each length, and their symbols in order. */
typedef struct Code {
    uint16_t count[MOST_BITS + 1], symbols[288];
} Code;

static void make_code(Code *code, const uint8_t *lengths, int symbols) {
    uint16_t next[MOST_BITS + 2] = {0};
    memset(code->count, 0, sizeof code->count);
    for (int i = 0; i < symbols; i++) code->count[lengths[i]]++;
    code->count[0] = 0;
    for (int i = 1; i <= MOST_BITS; i++) next[i + 1] = (uint16_t)(next[i] + code->count[i]);
    for (int i = 0; i < symbols; i++)
        if (lengths[i]) code->symbols[next[lengths[i]]++] = (uint16_t)i;
}

static unsigned symbol(const Code *code) {
    int value = 0, first = 0, index = 0;
    for (int length = 1; length <= MOST_BITS; length++) {
        value |= (int)bits(1);
        if (value - first < code->count[length]) return code->symbols[index + value - first];
        index += code->count[length];
        first = (first + code->count[length]) << 1;
        value <<= 1;
    }
    fail("a compressed message has a code that stands for nothing");
}

static void fixed_codes(Code *literals, Code *distances) {
    uint8_t lengths[288];
    for (int i = 0; i < 288; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    make_code(literals, lengths, 288);
    memset(lengths, 5, 30);
    make_code(distances, lengths, 30);
}

static void dynamic_codes(Code *literals, Code *distances) {
    static const uint8_t order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[320] = {0};
    int literal_count = (int)bits(5) + 257, distance_count = (int)bits(5) + 1, length_count = (int)bits(4) + 4;
    for (int i = 0; i < length_count; i++) lengths[order[i]] = (uint8_t)bits(3);
    make_code(literals, lengths, 19);
    memset(lengths, 0, sizeof lengths);
    for (int i = 0; i < literal_count + distance_count;) {
        unsigned next = symbol(literals), times = 1;
        uint8_t length = (uint8_t)next;
        if (next == 16) {
            if (!i) fail("a compressed message repeats a length that is not there");
            length = lengths[i - 1], times = 3 + bits(2);
        } else if (next == 17) length = 0, times = 3 + bits(3);
        else if (next == 18) length = 0, times = 11 + bits(7);
        if (i + (int)times > literal_count + distance_count) fail("a compressed message has too many lengths");
        while (times--) lengths[i++] = length;
    }
    make_code(literals, lengths, literal_count);
    make_code(distances, lengths + literal_count, distance_count);
}

static size_t copy_block(const Code *literals, const Code *distances, uint8_t *out, size_t made, size_t room) {
    for (;;) {
        unsigned next = symbol(literals);
        if (next == 256) return made;
        if (next < 256) {
            if (made == room) fail("a message inflates to more than %zu bytes", room);
            out[made++] = (uint8_t)next;
            continue;
        }
        /* Section 3.2.5: each further group of four lengths, or two distances, has one more extra bit. */
        unsigned step = next - 257, extra = step < 8 || step == 28 ? 0 : step / 4 - 1;
        size_t length = step == 28 ? 258 : step < 8 ? step + 3 : ((4 + step % 4) << extra) + 3;
        length += bits((int)extra);
        step = symbol(distances);
        extra = step < 4 ? 0 : step / 2 - 1;
        size_t distance = step < 4 ? step + 1 : ((2 + step % 2) << extra) + 1;
        distance += bits((int)extra);
        if (distance > made) fail("a message refers to %zu bytes before its %zu", distance, made);
        if (made + length > room) fail("a message inflates to more than %zu bytes", room);
        for (; length; length--, made++) out[made] = out[made - distance];
    }
}

static size_t inflate(const uint8_t *payload, size_t bytes, uint8_t *out, size_t room) {
    static Code literals, distances;
    size_t made = 0;
    input = payload, input_bits = bytes * 8, at_bit = 0;
    while (at_bit < input_bits) {
        unsigned last = bits(1), kind = bits(2);
        if (kind == 0) {
            at_bit = (at_bit + 7) / 8 * 8;
            unsigned length = bits(16);
            if ((bits(16) ^ 0xFFFF) != length) fail("a compressed message has a stored block of no known length");
            if (made + length > room) fail("a message inflates to more than %zu bytes", room);
            while (length--) out[made++] = (uint8_t)bits(8);
        } else {
            if (kind == 3) fail("a compressed message has a block of no known kind");
            if (kind == 1) fixed_codes(&literals, &distances);
            else dynamic_codes(&literals, &distances);
            made = copy_block(&literals, &distances, out, made, room);
        }
        if (last) break;
    }
    return made;
}

/* Return the message that a payload inflates to; it stands until some others were inflated.
   Nothing is kept from one message to the next, so equal bytes inflate to equal bytes, and a publication
   to a thousand members is inflated once: the client would else be what is measured. */
const uint8_t *inflated(const uint8_t *payload, size_t bytes, size_t *message_bytes) {
    static size_t oldest;
    for (size_t i = 1; i <= KEPT; i++) {
        struct Kept *one = &kept[(oldest + KEPT - i) % KEPT];
        if (bytes && one->bytes == bytes && !memcmp(one->payload, payload, bytes)) {
            *message_bytes = one->message_bytes;
            return one->message;
        }
    }
    struct Kept *one = &kept[oldest];
    oldest = (oldest + 1) % KEPT;
    if (bytes > sizeof one->payload - 4) fail("a compressed message of %zu bytes is too long to check", bytes);
    memcpy(one->payload, payload, bytes);
    memcpy(one->payload + bytes, "\x00\x00\xFF\xFF", 4); /* what the sender cut off: the end of an empty block */
    one->bytes = bytes;
    one->message_bytes = inflate(one->payload, bytes + 4, one->message, sizeof one->message);
    *message_bytes = one->message_bytes;
    return one->message;
}

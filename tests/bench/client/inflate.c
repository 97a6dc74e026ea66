/* Compressed messages (RFC 7692 section 7.2.2), inflated by zlib. */
#include <string.h>
#include <zlib.h>

#include "load.h"

#define KEPT 64 /* more than the publications in flight that are measured */

static struct Kept {
    size_t bytes, message_bytes;
    uint8_t payload[BUFFER_BYTES / 4], message[BUFFER_BYTES / 2];
} kept[KEPT];

static void inflate_into(struct Kept *one, const uint8_t *payload, size_t bytes) {
    static const uint8_t tail[4] = {0, 0, 0xFF, 0xFF};
    static z_stream stream;
    static int made;
    if (bytes > sizeof one->payload) fail("a compressed message of %zu bytes, the most is %zu", bytes, sizeof one->payload);
    if (made ? inflateReset(&stream) : inflateInit2(&stream, -15)) fail("zlib: %s", stream.msg ? stream.msg : "no memory");
    made = 1;
    memcpy(one->payload, payload, bytes);
    one->bytes = bytes;
    stream.next_out = one->message;
    stream.avail_out = sizeof one->message;
    const uint8_t *parts[] = {payload, tail};
    const size_t sizes[] = {bytes, sizeof tail};
    for (int i = 0; i < 2; i++) {
        stream.next_in = (uint8_t *)(uintptr_t)parts[i];
        stream.avail_in = (uInt)sizes[i];
        int result = inflate(&stream, Z_SYNC_FLUSH);
        if ((result != Z_OK && result != Z_BUF_ERROR) || stream.avail_in)
            fail("a message of %zu bytes does not inflate: %s", bytes, stream.msg ? stream.msg : "it is too long");
    }
    one->message_bytes = sizeof one->message - stream.avail_out;
}

/* Return the message that a payload inflates to; it stands until some others were inflated.
   Nothing is kept from one message to the next, so equal bytes inflate to equal bytes, and a publication
   to a thousand members is inflated once: the client would else be what is measured. */
const uint8_t *inflated(const uint8_t *payload, size_t bytes, size_t *message_bytes) {
    static size_t oldest;
    struct Kept *one = NULL;
    for (size_t i = 1; i <= KEPT && !one; i++) {
        struct Kept *candidate = &kept[(oldest + KEPT - i) % KEPT];
        if (candidate->bytes == bytes && bytes && !memcmp(candidate->payload, payload, bytes)) one = candidate;
    }
    if (!one) {
        one = &kept[oldest];
        oldest = (oldest + 1) % KEPT;
        inflate_into(one, payload, bytes);
    }
    *message_bytes = one->message_bytes;
    return one->message;
}

/* A container's output becomes lines of JSON, as docker's json-file has them. */
#include "log.h"

enum {
    LONGEST_ESCAPE = 6, /* what one byte can become */
    FIRST = 0xc2,
    LAST = 0xf4, /* what a sequence of UTF-8 begins with */
};

/* Copy ASCII that means itself; may write eight bytes more than it copies. */
static size_t copy_plain(const unsigned char *from, size_t size, char *to)
{
    size_t at = 0;

    while (size - at >= 8) {
        uint64_t word = word_at(from + at);
        size_t copied = copy_word(word, special(word) | (word & HIGHS), to + at);
        at += copied;
        if (copied < 8)
            return at;
    }
    for (; at < size; at++) {
        unsigned char byte = from[at];
        if (byte < ' ' || byte == '"' || byte == '\\' || byte >= 0x80)
            break;
        to[at] = (char)byte;
    }
    return at;
}

/* What each byte becomes by itself; eight bytes, so that one copy does for all of them. */
struct escape {
    char text[7];
    unsigned char size;
};

#define PLAIN(b) ((b) >= ' ' && (b) < 0x80 && (b) != '"' && (b) != '\\')
#define SHORT(b)                                                                                             \
    ((b) == '\n'   ? 'n'                                                                                     \
     : (b) == '\r' ? 'r'                                                                                     \
     : (b) == '\t' ? 't'                                                                                     \
     : (b) == '\b' ? 'b'                                                                                     \
     : (b) == '\f' ? 'f'                                                                                     \
     : (b) == '"'  ? '"'                                                                                     \
     : (b) == '\\' ? '\\'                                                                                    \
                   : 0)
#define HEX(n) ((n) < 10 ? '0' + (n) : 'a' + (n)-10)
#define HIGH(b, lone, other) ((b) >= 0x80 ? (lone) : (other))
#define ESCAPE(b)                                                                                            \
    {                                                                                                        \
        {PLAIN(b) ? (b) : '\\', SHORT(b) ? SHORT(b) : 'u',                                                   \
         HIGH(b, 'd', '0'),     HIGH(b, 'c', '0'),                                                           \
         HEX((b) >> 4),         HEX((b)&15)},                                                                \
            PLAIN(b)   ? 1                                                                                   \
            : SHORT(b) ? 2                                                                                   \
                       : LONGEST_ESCAPE                                                                      \
    }
#define FOUR(b) ESCAPE(b), ESCAPE(b + 1), ESCAPE(b + 2), ESCAPE(b + 3)
#define SIXTEEN(b) FOUR(b), FOUR(b + 4), FOUR(b + 8), FOUR(b + 12)
#define SIXTY_FOUR(b) SIXTEEN(b), SIXTEEN(b + 16), SIXTEEN(b + 32), SIXTEEN(b + 48)

static const struct escape escapes[256] = {SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192)};

static inline int continues(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* How long the UTF-8 sequence at `from` is (Unicode, table 3-7); 0: it is none, -1: its rest is not here yet.
 */
static inline int sequence(const unsigned char *from, size_t size)
{
    unsigned char first = from[0];

    if (size < 2)
        return -1;
    unsigned char second = from[1];
    if (!continues(second))
        return 0;
    if (first < 0xe0)
        return 2;
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
        return 0; /* too long for what it says, a surrogate, or above U+10FFFF */
    int length = first < 0xf0 ? 3 : 4;
    for (int i = 2; i < length; i++) {
        if ((size_t)i == size)
            return -1;
        if (!continues(from[i]))
            return 0;
    }
    return length;
}

/* The text of one entry: a line, or as much of it as an entry may hold without tearing a character.  How many
 * bytes of `data` that took; 0 if the entry is not complete. */
static size_t put_text(const unsigned char *data, size_t size, int rest, char **out)
{
    size_t limit = size < PE_LOG_LONGEST ? size : PE_LOG_LONGEST;
    size_t at = 0;
    char *to = *out;

    while (at < limit) {
        size_t plain = copy_plain(data + at, limit - at, to);
        at += plain;
        to += plain;
        /* where one byte wants more than copying, its neighbours often do too */
        for (size_t stop = limit - at > 16 ? at + 16 : limit; at < stop;) {
            unsigned char byte = data[at];
            int length = byte < FIRST || byte > LAST ? 0 : sequence(data + at, size - at);
            if (length > 0) {
                if (at + (size_t)length > limit)
                    goto full;
                memcpy(to, data + at, (size_t)length);
                to += length;
                at += (size_t)length;
                continue;
            }
            if (length < 0 && rest != PE_LOG_END)
                goto full;
            memcpy(to, &escapes[byte], sizeof escapes[byte]);
            to += escapes[byte].size;
            at++;
            if (byte == '\n') {
                *out = to;
                return at;
            }
        }
    }
full:
    if (size < PE_LOG_LONGEST && (rest == PE_LOG_KEEP || at == 0))
        return 0;
    *out = to;
    return at;
}

int64_t pe_log_encode(const char *data, size_t size, int rest, const char *tail, size_t tail_size, char *out,
                      size_t room, size_t *used)
{
    const unsigned char *bytes = (const unsigned char *)data;
    size_t most = PE_LOG_ROOM + tail_size;
    char *to = out;

    *used = 0;
    if (room < most)
        return -ENOBUFS;
    while (*used < size && room - (size_t)(to - out) >= most) {
        char *start = to;
        memcpy(to, LOG_HEAD, sizeof LOG_HEAD - 1);
        to += sizeof LOG_HEAD - 1;
        size_t taken = put_text(bytes + *used, size - *used, rest, &to);
        if (!taken) {
            to = start;
            break;
        }
        memcpy(to, tail, tail_size);
        to += tail_size;
        *used += taken;
    }
    return to - out;
}

_Static_assert(PE_LOG_ROOM >= sizeof LOG_HEAD - 1 + LONGEST_ESCAPE * PE_LOG_LONGEST + 8,
               "an entry may not fit");

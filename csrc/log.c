/* A container's output as docker's json-file keeps it, one JSON object a line; and back again.
 *
 *     {"log":"text\n","stream":"stdout","attrs":{"k":"v"},"time":"2024-01-01T00:00:00.123456789Z"}
 *
 * All of it may be hostile: what the container writes, and what is found in the file.  A byte that is not
 * part of UTF-8 is written as the lone surrogate \udc80 to \udcff that Python's surrogateescape gives it.
 * UTF-8 has no surrogates, so it can mean nothing else, and every byte comes back. */
#include "internal.h"
#include <string.h>
#include <sys/inotify.h>

enum {
    LONGEST_ESCAPE = 6, /* what one byte can become */
    FIRST = 0xc2,
    LAST = 0xf4, /* what a sequence of UTF-8 begins with */
};

#define ONES 0x0101010101010101ull
#define HIGHS (ONES * 0x80)

static const char head[] = "{\"log\":\"";

static uint64_t word_at(const unsigned char *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

/* The high bit of each byte below `limit`; exact up to the first of them, above it a borrow may lie. */
static uint64_t below(uint64_t word, unsigned limit)
{
    return (word - ONES * limit) & ~word & HIGHS;
}

/* Of bytes that a JSON string cannot hold as they are. */
static uint64_t special(uint64_t word)
{
    return below(word, ' ') | below(word ^ ONES * '"', 1) | below(word ^ ONES * '\\', 1);
}

/* Copy up to the first of `marked` in an eighth; how many bytes that was.  Writes eight, whatever happens. */
static size_t copy_word(uint64_t word, uint64_t marked, char *to)
{
    memcpy(to, &word, sizeof word);
    return marked ? (size_t)__builtin_ctzll(marked) / 8 : sizeof word;
}

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
        memcpy(to, head, sizeof head - 1);
        to += sizeof head - 1;
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

_Static_assert(PE_LOG_ROOM >= sizeof head - 1 + LONGEST_ESCAPE * PE_LOG_LONGEST + 8, "an entry may not fit");

/* What is left to read of one line. */
struct text {
    const unsigned char *at;
    const unsigned char *end;
};

static int take(struct text *text, const char *expected)
{
    size_t size = strlen(expected);

    if ((size_t)(text->end - text->at) < size || memcmp(text->at, expected, size))
        return 0;
    text->at += size;
    return 1;
}

static int hex(unsigned char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* The four digits of \uXXXX, or -1. */
static int take_code(struct text *text)
{
    int code = 0;

    if (text->end - text->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex(*text->at++);
        if (digit < 0)
            return -1;
        code = code << 4 | digit;
    }
    return code;
}

/* The code of an escape as bytes; NULL if it has none. */
static char *put_code(char *to, int code)
{
    if (code < 0 || (code >= 0xd800 && code < 0xdc80) || (code > 0xdcff && code < 0xe000))
        return NULL; /* half of a pair: not ours, and seldom enough to leave it to Python */
    if (code >= 0xdc80 && code <= 0xdcff) {
        *to++ = (char)(code - 0xdc00);
    } else if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

static char *take_escape(struct text *text, char *to)
{
    static const char longs[128] = {['b'] = '\b', ['t'] = '\t', ['n'] = '\n',  ['f'] = '\f',
                                    ['r'] = '\r', ['"'] = '"',  ['\\'] = '\\', ['/'] = '/'};

    if (text->at == text->end)
        return NULL;
    unsigned char which = *text->at++;
    if (which == 'u')
        return put_code(to, take_code(text));
    if (which >= sizeof longs || !longs[which])
        return NULL;
    *to++ = longs[which];
    return to;
}

/* The rest of a string and its closing quote; where its bytes end, or NULL.  It never writes beyond as many
 * bytes as it has read. */
static char *take_string(struct text *text, char *to)
{
    for (;;) {
        while (text->end - text->at >= 8) {
            uint64_t word = word_at(text->at);
            size_t copied = copy_word(word, special(word), to);
            text->at += copied;
            to += copied;
            if (copied < 8)
                break;
        }
        if (text->at == text->end)
            return NULL;
        unsigned char byte = *text->at++;
        if (byte == '"')
            return to;
        if (byte < ' ')
            return NULL;
        if (byte != '\\')
            *to++ = (char)byte;
        else if (!(to = take_escape(text, to)))
            return NULL;
    }
}

/* Skip an object by its braces; whether it is JSON is for who reads it to find out. */
static int skip_object(struct text *text)
{
    int depth = 0;
    int quoted = 0;

    while (text->at < text->end) {
        unsigned char byte = *text->at++;
        if (quoted && byte == '\\' && text->at < text->end)
            text->at++;
        else if (byte == '"')
            quoted = !quoted;
        else if (!quoted && byte == '{')
            depth++;
        else if (!quoted && byte == '}' && --depth == 0)
            return 1;
    }
    return 0;
}

/* A number of exactly `width` digits that lies in a range, or -1. */
static int take_number(struct text *text, int width, int least, int most)
{
    int number = 0;

    if (text->end - text->at < width)
        return -1;
    for (; width; width--) {
        unsigned digit = *text->at++ - (unsigned)'0';
        if (digit > 9)
            return -1;
        number = number * 10 + (int)digit;
    }
    return number < least || number > most ? -1 : number;
}

/* Nanoseconds of ".5", of ".123456789", or of nothing at all; -1 if there are too many digits, or none. */
static int64_t take_fraction(struct text *text)
{
    int64_t fraction = 0;
    int width = 0;

    if (!take(text, "."))
        return 0;
    for (; width < 9 && text->at < text->end && *text->at >= '0' && *text->at <= '9'; width++)
        fraction = fraction * 10 + (*text->at++ - '0');
    if (width == 0)
        return -1;
    for (; width < 9; width++)
        fraction *= 10;
    return fraction;
}

/* Days since 1970 of a day of the Gregorian calendar; a year is thought to begin in March, so that leap days
 * end it. */
static int64_t days(int year, int month, int day)
{
    int shifted = (month + 9) % 12;
    int64_t full = year - (month <= 2);

    return full * 365 + full / 4 - full / 100 + full / 400 + (shifted * 153 + 2) / 5 + day - 1 - 719468;
}

/* Nanoseconds since 1970, or -1. */
static int64_t take_time(struct text *text)
{
    int year = take_number(text, 4, 1970, 2261); /* what 64 bits of them can hold */
    int month = take(text, "-") ? take_number(text, 2, 1, 12) : -1;
    int day = take(text, "-") ? take_number(text, 2, 1, 31) : -1;
    int hour = take(text, "T") ? take_number(text, 2, 0, 23) : -1;
    int minute = take(text, ":") ? take_number(text, 2, 0, 59) : -1;
    int second = take(text, ":") ? take_number(text, 2, 0, 59) : -1;
    int64_t fraction = take_fraction(text);

    if ((year | month | day | hour | minute | second) < 0 || fraction < 0 || !take(text, "Z"))
        return -1;
    return (days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second) * 1000000000 + fraction;
}

/* One line, without its newline; whether it is laid out as we and docker do.  `origin` is where offsets
 * start. */
static int take_entry(struct text line, const unsigned char *origin, char **out, struct pe_log_entry *entry)
{
    char *to;

    if (!take(&line, head) || !(to = take_string(&line, *out)))
        return 0;
    if (take(&line, ",\"stream\":\"stdout\""))
        entry->stream = 1;
    else if (take(&line, ",\"stream\":\"stderr\""))
        entry->stream = 2;
    else
        return 0;
    if (take(&line, ",\"attrs\":")) {
        entry->attributes = (uint32_t)(line.at - origin);
        if (line.at == line.end || *line.at != '{' || !skip_object(&line))
            return 0;
        entry->attributes_size = (uint32_t)(line.at - origin) - entry->attributes;
    }
    if (!take(&line, ",\"time\":\"") || (entry->time = take_time(&line)) < 0 || !take(&line, "\"}"))
        return 0;
    if (line.at != line.end)
        return 0;
    entry->length = (uint32_t)(to - *out);
    *out = to;
    return 1;
}

int64_t pe_log_decode(const char *text, size_t size, char *out, struct pe_log_entry *entries, size_t most,
                      size_t *used)
{
    const unsigned char *origin = (const unsigned char *)text;
    size_t found = 0;
    char *to = out;

    *used = 0;
    if (size > UINT32_MAX)
        return -EFBIG;
    while (found < most) {
        const char *newline = memchr(text + *used, '\n', size - *used);
        if (!newline)
            break;
        struct text line = {origin + *used, (const unsigned char *)newline};
        struct pe_log_entry *entry = &entries[found++];
        *entry = (struct pe_log_entry){.line = (uint32_t)*used,
                                       .size = (uint32_t)(newline + 1 - text - *used),
                                       .data = (uint32_t)(to - out)};
        if (!take_entry(line, origin, &to, entry))
            entry->stream = 0;
        *used += entry->size;
    }
    return (int64_t)found;
}

int pe_watcher(void)
{
    return (int)SYS(inotify_init1, IN_CLOEXEC | IN_NONBLOCK);
}

int pe_watch(int watcher, const char *path, unsigned events)
{
    return (int)SYS(inotify_add_watch, watcher, path, events);
}

int pe_unwatch(int watcher, int watch)
{
    return (int)SYS(inotify_rm_watch, watcher, watch);
}

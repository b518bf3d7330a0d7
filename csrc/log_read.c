/* Lines of JSON become a container's output again. */
#include "log.h"

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

    if (!take(&line, LOG_HEAD) || !(to = take_string(&line, *out)))
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

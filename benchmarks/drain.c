/* Reading a program's output, as fast as it comes. */
#include "container.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024, ROOM = 6 * CHUNK + 4096, LONGEST_LINE = 16 * 1024, FULL = 16 << 20 };

struct stream {
    const char *name;
    size_t n; /* bytes of an unfinished line that stand at the beginning of `data` */
    char data[CHUNK + LONGEST_LINE];
};

struct log {
    int file;
    int64_t written;
    size_t n;
    char room[ROOM];
};

static void flush(struct log *log)
{
    if (write(log->file, log->room, log->n) != (ssize_t)log->n)
        die("write the log");
    log->written += (int64_t)log->n;
    log->n = 0;
    if (log->written > FULL) { /* a ring, as ours: the disk is not what is measured */
        if (ftruncate(log->file, 0) < 0)
            die("empty the log");
        lseek(log->file, 0, SEEK_SET);
        log->written = 0;
    }
}

static void add(struct log *log, const char *text, size_t n)
{
    memcpy(log->room + log->n, text, n);
    log->n += n;
}

/* Eight bytes are copied for each that is escaped, however long its escape: a fixed size needs no call. */
static struct escape {
    char text[8];
    unsigned char n;
} escapes[256];

static void fill_escapes(void)
{
    for (int c = 0; c < 0x20; c++)
        escapes[c].n = (unsigned char)snprintf(escapes[c].text, 8, "\\u%04x", c);
    escapes['\n'] = (struct escape){"\\n", 2};
    escapes['"'] = (struct escape){"\\\"", 2};
    escapes['\\'] = (struct escape){"\\\\", 2};
}

/* Whether none of eight bytes is escaped: what is below ' ', or is '"' or '\\', would borrow from its high
 * bit. */
static int is_plain(const char *text)
{
    const uint64_t ones = 0x0101010101010101, highs = ones << 7;
    uint64_t word, quote, slash;

    memcpy(&word, text, sizeof word);
    quote = word ^ ones * '"';
    slash = word ^ ones * '\\';
    return !((((word - ones * ' ') & ~word) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & highs);
}

static void add_escaped(struct log *log, const char *text, size_t n)
{
    size_t done = 0;

    for (size_t i = 0; i < n; i++) {
        while (i + 8 < n && is_plain(text + i))
            i += 8;
        const struct escape *escape = &escapes[(unsigned char)text[i]];

        if (!escape->n)
            continue;
        if (i > done)
            add(log, text + done, i - done);
        done = i + 1;
        memcpy(log->room + log->n, escape->text, sizeof escape->text);
        log->n += escape->n;
    }
    add(log, text + done, n - done);
}

static void add_line(struct log *log, const struct stream *stream, const char *line, size_t n,
                     const char *time)
{
    if (log->n + 6 * n + 128 > ROOM)
        flush(log);
    add(log, "{\"log\":\"", 8);
    add_escaped(log, line, n);
    add(log, "\",\"stream\":\"", 12);
    add(log, stream->name, 6);
    add(log, "\",\"time\":\"", 10);
    add(log, time, strlen(time));
    add(log, "\"}\n", 3);
}

static void write_time(char *text, size_t size)
{
    struct timespec at;
    struct tm parts;
    char seconds[32];

    clock_gettime(CLOCK_REALTIME, &at);
    gmtime_r(&at.tv_sec, &parts);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, size, "%s.%09ldZ", seconds, at.tv_nsec);
}

/* One time for all lines that were read at once. */
static void log_lines(struct log *log, struct stream *stream, int is_end)
{
    const char *line = stream->data, *end = stream->data + stream->n;
    char time[64];

    write_time(time, sizeof time);
    while (line < end) {
        size_t left = (size_t)(end - line), longest = left < LONGEST_LINE ? left : LONGEST_LINE;
        const char *newline = memchr(line, '\n', longest);
        size_t n = newline ? (size_t)(newline - line) + 1 : longest;

        if (!newline && n < LONGEST_LINE && !is_end)
            break;
        add_line(log, stream, line, n, time);
        line += n;
    }
    stream->n = (size_t)(end - line);
    memmove(stream->data, line, stream->n);
}

int64_t drain(int out, int err, int log_file)
{
    static struct stream streams[2] = {{.name = "stdout"}, {.name = "stderr"}};
    static struct log log;
    struct pollfd polls[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
    int64_t total = 0;

    log.file = log_file;
    if (!escapes['\n'].n)
        fill_escapes();
    while (polls[0].fd >= 0 || polls[1].fd >= 0) {
        poll(polls, 2, -1);
        for (int i = 0; i < 2; i++) {
            struct stream *stream = &streams[i];
            if (polls[i].fd < 0 || !polls[i].revents)
                continue;
            ssize_t n = read(polls[i].fd, stream->data + stream->n, CHUNK);
            if (n <= 0)
                polls[i].fd = -1;
            total += n > 0 ? n : 0;
            stream->n += n > 0 && log_file >= 0 ? (size_t)n : 0;
            if (log_file >= 0)
                log_lines(&log, stream, n <= 0);
        }
    }
    if (log_file >= 0)
        flush(&log);
    return total;
}

/* Writing a tar archive: ustar headers, and extended ones before those that cannot say everything. */
#include "pack.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_DIGITS = 21 };
#define LARGEST_ID 07777777
#define LARGEST_SIZE 077777777777

static int flush(struct out *out)
{
    for (size_t at = 0; at < out->used;) {
        long n = SYS(write, out->fd, out->room + at, out->used - at);
        if (n == -EINTR)
            continue;
        at += (size_t)TRY(n);
    }
    out->used = 0;
    return 0;
}

static int grow_archive(struct out *out, uint64_t size)
{
    if (size > out->most - out->written)
        return WRONG(MOST_BYTES);
    out->written += size;
    return 0;
}

int out_bytes(struct out *out, const char *data, size_t size)
{
    TRY(grow_archive(out, size));
    while (size) {
        size_t n = OUT_ROOM - out->used < size ? OUT_ROOM - out->used : size;
        memcpy(out->room + out->used, data, n);
        out->used += n;
        data += n;
        size -= n;
        if (out->used == OUT_ROOM)
            TRY(flush(out));
    }
    return 0;
}

/* As many bytes of a file as its header has told of: it may be written to meanwhile. */
int out_file(struct out *out, int file, uint64_t size)
{
    TRY(grow_archive(out, size));
    while (size) {
        size_t room = OUT_ROOM - out->used;
        long n = SYS(read, file, out->room + out->used, size < room ? size : room);
        if (n == -EINTR)
            continue;
        if (!TRY(n))
            return WRONG(CHANGED);
        out->used += (size_t)n;
        size -= (uint64_t)n;
        if (out->used == OUT_ROOM)
            TRY(flush(out));
    }
    return 0;
}

int out_padding(struct out *out, uint64_t size)
{
    static const char nothing[BLOCK];

    return out_bytes(out, nothing, padded(size) - size);
}

int out_end(struct out *out)
{
    TRY(out_bytes(out, (const char[2 * BLOCK]){0}, 2 * BLOCK));
    return flush(out);
}

static int make_room(struct growing *text, size_t more)
{
    size_t room = text->room ? text->room : 4096;

    if (text->size + more > PE_TAR_MOST_PAX)
        return WRONG(PAX_SIZE);
    while (room < text->size + more)
        room *= 2;
    if (room == text->room)
        return 0;
    char *at = realloc(text->at, room);
    if (!at)
        return -ENOMEM;
    text->at = at;
    text->room = room;
    return 0;
}

static size_t digits_of(size_t number)
{
    size_t digits = 1;

    while (number /= 10)
        digits++;
    return digits;
}

/* "LENGTH KEY=VALUE\n", whose length counts its own digits. */
int add_record(struct growing *text, const char *prefix, const char *key, const char *value, size_t size)
{
    size_t bare = strlen(prefix) + strlen(key) + size + 3, length = bare + digits_of(bare);

    if (bare + digits_of(length) != length)
        length = bare + digits_of(length);
    TRY(make_room(text, length + 1));
    int n = sprintf(text->at + text->size, "%zu %s%s=", length, prefix, key);
    memcpy(text->at + text->size + n, value, size);
    text->size += length;
    text->at[text->size - 1] = '\n';
    return 0;
}

static void put_number(char *field, size_t size, uint64_t number)
{
    for (field[--size] = 0; size; number >>= 3)
        field[--size] = (char)('0' + (number & 7));
}

/* A name that is too long for its field, with what comes before one of its slashes in another; 0: it is not
 * to be cut so. */
static int put_name(struct tar_block *block, const char *name)
{
    size_t n = strlen(name);

    if (n <= sizeof block->name) {
        memcpy(block->name, name, n);
        return 1;
    }
    if (n > sizeof block->prefix + 1 + sizeof block->name)
        return 0;
    const char *slash = strchr(name + n - sizeof block->name - 1, '/');
    if (!slash || slash == name || !slash[1] || (size_t)(slash - name) > sizeof block->prefix)
        return 0;
    memcpy(block->prefix, name, (size_t)(slash - name));
    memcpy(block->name, slash + 1, n - (size_t)(slash - name) - 1);
    return 1;
}

static void finish_block(struct tar_block *block, char type)
{
    unsigned sum = 0;

    block->type = type;
    memcpy(block->magic, "ustar", 6);
    memcpy(block->version, "00", 2);
    memset(block->sum, ' ', sizeof block->sum);
    for (int i = 0; i < BLOCK; i++)
        sum += ((unsigned char *)block)[i];
    put_number(block->sum, 7, sum);
}

static int add_text(struct growing *pax, const char *key, const char *text)
{
    return add_record(pax, "", key, text, strlen(text));
}

static int add_number(struct growing *pax, const char *key, uint64_t number)
{
    char digits[MOST_DIGITS];

    return add_record(pax, "", key, digits,
                      (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)number));
}

/* A negative time counts from the second above: -0.5 is a second before 1970, and half of one. */
static int add_time(struct growing *pax, int64_t seconds, uint32_t nanoseconds)
{
    char text[2 * MOST_DIGITS];
    const char *sign = seconds < 0 ? "-" : "";
    uint64_t whole = seconds < 0 ? -(uint64_t)seconds : (uint64_t)seconds;

    if (seconds < 0 && nanoseconds) {
        whole--;
        nanoseconds = 1000000000 - nanoseconds;
    }
    int n = snprintf(text, sizeof text, "%s%llu.%09u", sign, (unsigned long long)whole, nanoseconds);
    while (nanoseconds && text[n - 1] == '0')
        n--;
    return add_record(pax, "", "mtime", text, (size_t)(nanoseconds ? n : n - 10));
}

/* Whether a text is UTF-8, as extended headers have it; not whether each character exists. */
static int is_utf8(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        int more = *at < 0x80 ? 0 : *at < 0xc2 ? -1 : *at < 0xe0 ? 1 : *at < 0xf0 ? 2 : *at < 0xf5 ? 3 : -1;
        if (more < 0 || (*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] > 0x9f) ||
            (*at == 0xf0 && at[1] < 0x90) || (*at == 0xf4 && at[1] > 0x8f))
            return 0;
        for (; more; more--)
            if ((*++at & 0xc0) != 0x80)
                return 0;
    }
    return 1;
}

static int put_texts(struct tar_block *block, const struct tar_member *member, struct growing *pax)
{
    int long_link = strlen(member->link) > sizeof block->link, long_name = !put_name(block, member->name);

    if ((long_name && !is_utf8(member->name)) || (long_link && !is_utf8(member->link)))
        TRY(add_text(pax, "hdrcharset", "BINARY"));
    if (long_name) {
        TRY(add_text(pax, "path", member->name));
        memcpy(block->name, member->name, sizeof block->name); /* for who does not read the other header */
    }
    if (long_link)
        TRY(add_text(pax, "linkpath", member->link));
    memcpy(block->link, member->link, long_link ? sizeof block->link : strlen(member->link));
    return 0;
}

static int put_numbers(struct tar_block *block, const struct tar_member *member, struct growing *pax)
{
    int odd = member->mtime < 0 || member->mtime > LARGEST_SIZE;

    if (member->size > LARGEST_SIZE)
        TRY(add_number(pax, "size", member->size));
    if (member->uid > LARGEST_ID)
        TRY(add_number(pax, "uid", member->uid));
    if (member->gid > LARGEST_ID)
        TRY(add_number(pax, "gid", member->gid));
    if (odd || member->mtime_ns)
        TRY(add_time(pax, member->mtime, member->mtime_ns));
    put_number(block->mode, sizeof block->mode, member->mode);
    put_number(block->uid, sizeof block->uid, member->uid > LARGEST_ID ? 0 : member->uid);
    put_number(block->gid, sizeof block->gid, member->gid > LARGEST_ID ? 0 : member->gid);
    put_number(block->size, sizeof block->size, member->size > LARGEST_SIZE ? 0 : member->size);
    put_number(block->mtime, sizeof block->mtime, odd ? 0 : (uint64_t)member->mtime);
    put_number(block->major, sizeof block->major, member->major);
    put_number(block->minor, sizeof block->minor, member->minor);
    return 0;
}

static int out_pax(struct out *out, const char *name, const struct growing *pax)
{
    struct tar_block block = {.name = "PaxHeaders.0/"};
    const char *slash = strrchr(name, '/'), *base = slash && slash[1] ? slash + 1 : "entry";

    strncat(block.name, base, 80);
    put_number(block.mode, sizeof block.mode, 0644);
    put_number(block.uid, sizeof block.uid, 0);
    put_number(block.gid, sizeof block.gid, 0);
    put_number(block.size, sizeof block.size, pax->size);
    put_number(block.mtime, sizeof block.mtime, 0);
    finish_block(&block, 'x');
    TRY(out_bytes(out, (const char *)&block, BLOCK));
    TRY(out_bytes(out, pax->at, pax->size));
    return out_padding(out, pax->size);
}

/* *pax* is room for an extended header, whatever it holds. */
int out_header(struct out *out, const struct tar_member *member, struct growing *pax)
{
    struct tar_block block = {0};

    pax->size = 0;
    TRY(put_texts(&block, member, pax));
    TRY(put_numbers(&block, member, pax));
    if (member->records_size) {
        TRY(make_room(pax, member->records_size));
        memcpy(pax->at + pax->size, member->records, member->records_size);
        pax->size += member->records_size;
    }
    if (pax->size)
        TRY(out_pax(out, member->name, pax));
    finish_block(&block, member->type);
    return out_bytes(out, (const char *)&block, BLOCK);
}

/* Extended headers: records of a length, a key and a value, for the entry that comes after them. */
#include "tar.h"
#include <string.h>

static const char ATTRIBUTE[] = "SCHILY.xattr.";

static int is_text(struct tar_text text, const char *wanted)
{
    return text.size == strlen(wanted) && !memcmp(text.at, wanted, text.size);
}

/* "LENGTH KEY=VALUE\n", where LENGTH counts all of it. */
int tar_next_record(struct tar_text *rest, struct tar_record *record)
{
    size_t length = 0, at = 0;
    const char *equals, *key;

    if (!rest->size)
        return 0;
    for (; at < rest->size && rest->at[at] >= '0' && rest->at[at] <= '9'; at++)
        if ((length = length * 10 + (size_t)(rest->at[at] - '0')) > rest->size)
            return WRONG(PAX);
    if (!at || at + 2 >= length || rest->at[at] != ' ' || rest->at[length - 1] != '\n')
        return WRONG(PAX);
    key = rest->at + at + 1;
    equals = memchr(key, '=', length - at - 2);
    if (!equals || equals == key || memchr(key, 0, (size_t)(equals - key)))
        return WRONG(PAX);
    record->key = (struct tar_text){key, (size_t)(equals - key)};
    record->value = (struct tar_text){equals + 1, (size_t)(rest->at + length - 1 - (equals + 1))};
    rest->at += length;
    rest->size -= length;
    return 1;
}

int tar_is_attribute(const struct tar_record *record, struct tar_text *name)
{
    size_t n = sizeof ATTRIBUTE - 1;

    if (record->key.size <= n || memcmp(record->key.at, ATTRIBUTE, n))
        return 0;
    *name = (struct tar_text){record->key.at + n, record->key.size - n};
    return 1;
}

/* Seconds since 1970, with a fraction of any length. */
static int read_time(struct tar_text text, struct tar_overrides *overrides)
{
    const char *dot = memchr(text.at, '.', text.size);
    size_t whole = dot ? (size_t)(dot - text.at) : text.size, digits = dot ? text.size - whole - 1 : 0;
    uint32_t nanoseconds = 0;

    TRY(tar_decimal((struct tar_text){text.at, whole}, &overrides->mtime));
    for (size_t i = 0; i < (digits < 9 ? 9 : digits); i++) {
        char digit = i < digits ? dot[1 + i] : '0';
        if (digit < '0' || digit > '9')
            return WRONG(PAX);
        if (i < 9)
            nanoseconds = nanoseconds * 10 + (uint32_t)(digit - '0');
    }
    if (text.at[0] == '-' && nanoseconds) {
        if (__builtin_sub_overflow(overrides->mtime, 1, &overrides->mtime))
            return WRONG(PAX);
        nanoseconds = 1000000000 - nanoseconds;
    }
    overrides->mtime_ns = nanoseconds;
    return 0;
}

static int read_sparse(const struct tar_record *record, struct tar_overrides *overrides,
                       struct tar_sparse *sparse)
{
    struct tar_text key = {record->key.at + 11, record->key.size - 11}; /* behind "GNU.sparse." */
    int64_t number = 0;

    overrides->given |= GIVEN_SPARSE;
    if (is_text(key, "name"))
        overrides->sparse_name = record->value;
    else if (is_text(key, "map"))
        return tar_add_list(sparse, record->value);
    else if (is_text(key, "minor") || is_text(key, "numblocks"))
        return 0; /* the map itself tells */
    else {
        TRY(tar_decimal(record->value, &number));
        if (number < 0)
            return WRONG(SPARSE);
    }
    if (is_text(key, "major"))
        overrides->sparse_major = (unsigned)(number > 1 ? 2 : number);
    else if (is_text(key, "size") || is_text(key, "realsize")) {
        sparse->real_size = (uint64_t)number;
        overrides->has_sparse_size = 1;
    } else if (is_text(key, "offset")) {
        if (sparse->offset >= 0)
            return WRONG(SPARSE);
        sparse->offset = number;
    } else if (is_text(key, "numbytes")) {
        TRY(tar_add_segment(sparse, sparse->offset, number)); /* refuses a size without an offset */
        sparse->offset = -1;
    }
    return 0;
}

static int read_number(struct tar_text text, int64_t *number, unsigned which, struct tar_overrides *overrides)
{
    if (!text.size) { /* nothing: what the header says is right after all */
        overrides->given &= ~which;
        return 0;
    }
    overrides->given |= which;
    return tar_decimal(text, number);
}

static int read_record(const struct tar_record *record, struct tar_overrides *overrides,
                       struct tar_sparse *sparse)
{
    struct tar_text key = record->key, value = record->value, name;

    if (is_text(key, "path"))
        overrides->path = value;
    else if (is_text(key, "linkpath"))
        overrides->link = value;
    else if (is_text(key, "size"))
        return read_number(value, &overrides->size, GIVEN_SIZE, overrides);
    else if (is_text(key, "uid"))
        return read_number(value, &overrides->uid, GIVEN_UID, overrides);
    else if (is_text(key, "gid"))
        return read_number(value, &overrides->gid, GIVEN_GID, overrides);
    else if (is_text(key, "mtime")) {
        overrides->given = value.size ? overrides->given | GIVEN_MTIME : overrides->given & ~GIVEN_MTIME;
        return value.size ? read_time(value, overrides) : 0;
    } else if (is_text(key, "hdrcharset"))
        return is_text(value, "BINARY") || is_text(value, "ISO-IR 10646 2000 UTF-8") ? 0 : WRONG(CHARSET);
    else if (key.size > 11 && !memcmp(key.at, "GNU.sparse.", 11))
        return read_sparse(record, overrides, sparse);
    else if (tar_is_attribute(record, &name))
        overrides->has_attributes = 1;
    return 0;
}

int tar_read_pax(struct tar_text text, struct tar_overrides *overrides, struct tar_sparse *sparse)
{
    struct tar_record record;

    *overrides = (struct tar_overrides){0};
    for (int n = 0; TRY(tar_next_record(&text, &record)); n++) {
        if (n == MOST_RECORDS)
            return WRONG(PAX_SIZE);
        TRY(read_record(&record, overrides, sparse));
    }
    return sparse->offset < 0 ? 0 : WRONG(SPARSE);
}

static int set_id(int64_t given, uint32_t *id)
{
    if (given < 0 || given > UINT32_MAX)
        return WRONG(PAX);
    *id = (uint32_t)given;
    return 0;
}

static int set_sparse(struct tar_entry *entry, const struct tar_overrides *overrides)
{
    if (overrides->sparse_major > 1 || entry->sparse.kind == SPARSE_OLD ||
        (overrides->sparse_major == 1 && entry->sparse.n))
        return WRONG(SPARSE);
    entry->sparse.kind = overrides->sparse_major ? SPARSE_AHEAD : SPARSE_LISTED;
    if (!overrides->has_sparse_size)
        return WRONG(SPARSE);
    return overrides->sparse_name.size ? tar_set_text(entry->name, overrides->sparse_name) : 0;
}

/* The names of GNU's own long ones come in between, so a sparse file's is set by itself. */
int tar_override(struct tar_entry *entry, const struct tar_overrides *overrides)
{
    if (overrides->path.size)
        TRY(tar_set_text(entry->name, overrides->path));
    if (overrides->link.size)
        TRY(tar_set_text(entry->link, overrides->link));
    if (overrides->given & GIVEN_UID)
        TRY(set_id(overrides->uid, &entry->uid));
    if (overrides->given & GIVEN_GID)
        TRY(set_id(overrides->gid, &entry->gid));
    if (overrides->given & GIVEN_MTIME) {
        entry->mtime = overrides->mtime;
        entry->mtime_ns = overrides->mtime_ns;
    }
    if ((overrides->given & GIVEN_SIZE) && overrides->size < 0)
        return WRONG(PAX);
    if (overrides->given & GIVEN_SIZE)
        entry->size = (uint64_t)overrides->size;
    entry->has_attributes = overrides->has_attributes;
    return overrides->given & GIVEN_SPARSE ? set_sparse(entry, overrides) : 0;
}

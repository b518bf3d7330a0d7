/* A header of a tar archive, in whichever format: v7, ustar, star, GNU's, pax. */
#include "tar.h"
#include <string.h>

static int read_base256(const unsigned char *field, size_t size, int64_t *number)
{
    int negative = field[0] & 0x40;
    uint64_t value = negative ? ~(uint64_t)0 : 0, first = negative ? field[0] : field[0] & 0x7f;

    for (size_t i = 0; i < size; i++) {
        uint64_t byte = i ? field[i] : first;
        if (value >> 55 != (negative ? 0x1ff : 0))
            return WRONG(HEADER);
        value = value << 8 | byte;
    }
    *number = (int64_t)value;
    return (*number < 0) == !!negative ? 0 : WRONG(HEADER);
}

/* Octal digits between spaces and NULs; nothing is 0.  GNU's base-256 has its first bit set. */
int tar_number(const char *field, size_t size, int64_t *number)
{
    const char *end = field + size;

    if (*field & 0x80)
        return read_base256((const unsigned char *)field, size, number);
    *number = 0;
    while (field < end && (*field == ' ' || !*field))
        field++;
    for (; field < end && *field >= '0' && *field <= '7'; field++)
        *number = *number * 8 + *field - '0'; /* at most 12 digits */
    while (field < end && (*field == ' ' || !*field))
        field++;
    return field == end ? 0 : WRONG(HEADER);
}

int tar_is_empty(const struct tar_block *block)
{
    const char *at = (const char *)block;

    return !at[0] && !memcmp(at, at + 1, BLOCK - 1);
}

/* The sum of its bytes, with the sum itself as spaces; old programs took them to be signed. */
int tar_is_header(const struct tar_block *block)
{
    const unsigned char *at = (const unsigned char *)block;
    int64_t said, sum = 0, high = 0;

    for (int i = 0; i < BLOCK; i++) {
        sum += at[i];
        high += at[i] >> 7;
    }
    for (size_t i = 0; i < sizeof block->sum; i++) {
        unsigned char byte = (unsigned char)block->sum[i];
        sum += ' ' - byte;
        high -= byte >> 7;
    }
    return tar_number(block->sum, sizeof block->sum, &said) == 0 && (said == sum || said == sum - 256 * high);
}

/* A text in a field ends at its first NUL, or fills it. */
static struct tar_text field_text(const char *field, size_t size)
{
    return (struct tar_text){field, strnlen(field, size)};
}

int tar_set_text(char text[LONGEST_NAME + 1], struct tar_text from)
{
    if (from.size > LONGEST_NAME || memchr(from.at, 0, from.size))
        return WRONG(NAME);
    memcpy(text, from.at, from.size);
    text[from.size] = 0;
    return 0;
}

static void set_name(const struct tar_block *block, struct tar_entry *entry)
{
    struct tar_text name = field_text(block->name, sizeof block->name), prefix = {"", 0};
    size_t room = memcmp(block->rest + 8, "tar", 4) ? sizeof block->prefix : 131; /* star has times there */

    if (!memcmp(block->magic, "ustar", 6)) /* GNU's, which has no prefix, is "ustar " */
        prefix = field_text(block->prefix, room);
    memcpy(entry->name, prefix.at, prefix.size);
    if (prefix.size)
        entry->name[prefix.size++] = '/';
    memcpy(entry->name + prefix.size, name.at, name.size);
    entry->name[prefix.size + name.size] = 0;
}

/* A number that has to fit. */
static int read_uint32(const char *field, size_t size, uint32_t *number)
{
    int64_t wide;

    TRY(tar_number(field, size, &wide));
    if (wide < 0 || wide > UINT32_MAX)
        return WRONG(HEADER);
    *number = (uint32_t)wide;
    return 0;
}

static int read_old_sparse(const struct tar_block *block, struct tar_entry *entry)
{
    const char *at = (const char *)block;
    int64_t real;

    TRY(tar_number(at + OLD_REAL_SIZE, OLD_NUMBER, &real));
    if (real < 0)
        return WRONG(SPARSE);
    entry->sparse.kind = SPARSE_OLD;
    entry->sparse.real_size = (uint64_t)real;
    return tar_add_old(&entry->sparse, at + OLD_SPARSE, OLD_SEGMENTS);
}

/* Types that mean the same become one, once the name is known: a directory of v7 is a file whose name ends
 * with a slash. */
void tar_settle_type(struct tar_entry *entry)
{
    size_t n = strlen(entry->name);

    if (entry->type == 0)
        entry->type = n && entry->name[n - 1] == '/' ? '5' : '0';
    else if (entry->type == '7' || entry->type == 'S')
        entry->type = '0';
    if (entry->type != '0')
        entry->size = 0; /* nothing follows, whatever it says: so docker's reader has it */
}

/* Everything but the checksum. */
int tar_read_header(const struct tar_block *block, struct tar_entry *entry)
{
    int64_t size;

    TRY(tar_number(block->size, sizeof block->size, &size));
    TRY(tar_number(block->mtime, sizeof block->mtime, &entry->mtime));
    TRY(read_uint32(block->mode, sizeof block->mode, &entry->mode));
    TRY(read_uint32(block->uid, sizeof block->uid, &entry->uid));
    TRY(read_uint32(block->gid, sizeof block->gid, &entry->gid));
    entry->major = entry->minor = entry->mtime_ns = 0;
    entry->has_attributes = 0;
    if (size < 0)
        return WRONG(HEADER);
    entry->size = (uint64_t)size;
    entry->type = block->type;
    set_name(block, entry);
    TRY(tar_set_text(entry->link, field_text(block->link, sizeof block->link)));
    if ((entry->type == '3' || entry->type == '4') && !memcmp(block->magic, "ustar", 5)) {
        TRY(read_uint32(block->major, sizeof block->major, &entry->major));
        TRY(read_uint32(block->minor, sizeof block->minor, &entry->minor));
    }
    return entry->type == 'S' ? read_old_sparse(block, entry) : 0;
}

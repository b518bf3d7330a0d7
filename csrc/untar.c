/* Reading a tar archive as it comes, in pieces of any size.  What it is told, it keeps in one piece of
 * memory, bounded whatever the archive says; what it reads of files goes straight to where they are put. */
#include "untar.h"
#include <stdlib.h>
#include <string.h>

enum state {
    AT_HEADER,
    IN_EXTENSION, /* the payload of an extended header or a long name */
    IN_OLD_MAP,   /* more of GNU's map of a sparse file */
    IN_MAP,       /* the map before a sparse file's data */
    IN_DATA,
    IN_PADDING, /* what nobody wants, to the end of a block */
    AT_END
};

enum { MOST_BEHIND = 64 << 20 };

struct pe_untar {
    enum state state;
    struct tar_block block; /* one that comes in pieces */
    size_t have;
    int empty_blocks, fault;
    uint64_t left; /* of the payload, or of the padding */
    uint64_t behind, globals, offset;
    size_t segment; /* of a sparse file: the one at hand, and where in it */
    char extension; /* whose payload it is: 'x', 'L', 'K', or 'g', which is not kept */
    char seen;      /* of 'x', 'L', 'K' before this entry, a bit each */
    char *pax, long_name[LONGEST_NAME + 2], long_link[LONGEST_NAME + 2];
    size_t pax_size, pax_room, name_size, link_size;
    uint64_t most_bytes, most_entries;
    struct tar_overrides overrides;
    struct tar_entry entry;
    struct place place;
};

enum { SEEN_PAX = 1, SEEN_NAME = 2, SEEN_LINK = 4 };

int pe_untar_new(int directory, unsigned flags, uint64_t most_bytes, uint64_t most_entries,
                 struct pe_untar **untar)
{
    struct pe_untar *made = calloc(1, sizeof *made);

    *untar = NULL;
    if (!made)
        return -ENOMEM;
    made->most_bytes = most_bytes;
    made->most_entries = most_entries;
    made->place.flags = flags;
    made->entry.sparse.offset = -1;
    int begun = begin_directories(&made->place, directory);
    if (begun < 0)
        free(made);
    else
        *untar = made;
    return begun;
}

void pe_untar_free(struct pe_untar *untar)
{
    if (!untar)
        return;
    place_drop(&untar->place);
    free(untar->entry.sparse.segments);
    free(untar->pax);
    free(untar);
}

const char *pe_untar_name(const struct pe_untar *untar)
{
    return untar->entry.name;
}

static struct tar_text records(const struct pe_untar *untar)
{
    return (struct tar_text){untar->pax, untar->entry.has_attributes ? untar->pax_size : 0};
}

static void forget_extensions(struct pe_untar *untar)
{
    if (untar->seen)
        untar->overrides = (struct tar_overrides){0};
    untar->seen = 0;
    untar->pax_size = 0;
    if (untar->entry.sparse.kind || untar->entry.sparse.n)
        tar_forget_map(&untar->entry.sparse);
}

static void skip(struct pe_untar *untar, uint64_t size)
{
    untar->left = size;
    untar->state = size ? IN_PADDING : AT_HEADER;
}

/* The file at hand is complete. */
static int end_entry(struct pe_untar *untar)
{
    TRY(place_end(&untar->place, &untar->entry, records(untar)));
    forget_extensions(untar);
    skip(untar, padded(untar->left) - untar->left); /* it was set to the size of what has been read */
    return 0;
}

static int begin_data(struct pe_untar *untar)
{
    struct tar_sparse *sparse = &untar->entry.sparse;

    untar->offset = untar->segment = 0;
    if (sparse->kind)
        TRY(tar_check_map(sparse, untar->left));
    untar->state = IN_DATA;
    return 0;
}

/* What all its headers say together. */
static int complete_entry(struct pe_untar *untar)
{
    struct tar_entry *entry = &untar->entry;

    if (untar->seen & SEEN_PAX)
        TRY(tar_override(entry, &untar->overrides));
    if ((untar->seen & SEEN_NAME) && !untar->overrides.sparse_name.size)
        TRY(tar_set_text(entry->name, (struct tar_text){untar->long_name, untar->name_size}));
    if (untar->seen & SEEN_LINK)
        TRY(tar_set_text(entry->link, (struct tar_text){untar->long_link, untar->link_size}));
    tar_settle_type(entry);
    return entry->type == '0' || !entry->sparse.kind ? 0 : WRONG(SPARSE);
}

/* Before anything of it is written. */
static int check_limits(struct pe_untar *untar)
{
    const struct tar_entry *entry = &untar->entry;
    uint64_t size =
        entry->sparse.kind && entry->sparse.real_size > entry->size ? entry->sparse.real_size : entry->size;
    uint64_t *bytes = &untar->place.count.bytes;

    if (untar->place.count.entries == untar->most_entries)
        return WRONG(MOST_ENTRIES);
    if (size > INT64_MAX || size > untar->most_bytes - *bytes)
        return WRONG(MOST_BYTES);
    untar->place.count.entries++;
    *bytes += size;
    return 0;
}

static int begin_entry(struct pe_untar *untar)
{
    struct tar_sparse *sparse = &untar->entry.sparse;

    TRY(check_limits(untar));
    TRY(place_begin(&untar->place, &untar->entry, records(untar)));
    untar->left = untar->entry.size;
    if (sparse->kind == SPARSE_AHEAD) {
        untar->state = IN_MAP;
        return 0;
    }
    return begin_data(untar);
}

static int begin_extension(struct pe_untar *untar, char type)
{
    int bit = type == 'L' ? SEEN_NAME : type == 'K' ? SEEN_LINK : type == 'g' ? 0 : SEEN_PAX;
    uint64_t size = untar->entry.size,
             most = bit & (SEEN_NAME | SEEN_LINK) ? LONGEST_NAME + 1 : PE_TAR_MOST_PAX;

    if (size > most)
        return bit & (SEEN_NAME | SEEN_LINK) ? WRONG(NAME) : WRONG(PAX_SIZE);
    if ((untar->seen & bit) || (!bit && untar->globals++ == untar->most_entries))
        return WRONG(PAX);
    untar->seen |= (char)bit;
    untar->extension = type;
    untar->left = size;
    untar->state = IN_EXTENSION;
    if (bit == SEEN_PAX && size > untar->pax_room) {
        char *pax = realloc(untar->pax, size);
        if (!pax)
            return -ENOMEM;
        untar->pax = pax;
        untar->pax_room = size;
    }
    if (bit == SEEN_PAX)
        untar->pax_size = 0;
    else if (bit == SEEN_NAME)
        untar->name_size = 0;
    else
        untar->link_size = 0;
    return 0;
}

static int take_header(struct pe_untar *untar, const struct tar_block *block)
{
    struct tar_entry *entry = &untar->entry;

    if (tar_is_empty(block)) {
        if (untar->seen)
            return WRONG(TRUNCATED);
        if (++untar->empty_blocks == 2)
            untar->state = AT_END;
        return 0;
    }
    if (untar->empty_blocks || !tar_is_header(block))
        return WRONG(HEADER);
    TRY(tar_read_header(block, entry));
    if (entry->type && strchr("xXLKg", entry->type))
        return begin_extension(untar, entry->type);
    TRY(complete_entry(untar));
    if (entry->sparse.kind == SPARSE_OLD && ((const char *)block)[OLD_EXTENDED]) {
        untar->state = IN_OLD_MAP;
        return 0;
    }
    return begin_entry(untar);
}

static int take_old_map(struct pe_untar *untar, const char *block)
{
    TRY(tar_add_old(&untar->entry.sparse, block, MORE_SEGMENTS));
    return block[MORE_EXTENDED] ? 0 : begin_entry(untar);
}

static int take_map(struct pe_untar *untar, const char *block)
{
    if (untar->left < BLOCK)
        return WRONG(SPARSE);
    untar->left -= BLOCK;
    return TRY(tar_read_map(&untar->entry.sparse, block, BLOCK)) ? begin_data(untar) : 0;
}

static int take_block(struct pe_untar *untar, const char *block)
{
    switch (untar->state) {
    case AT_HEADER:
        return take_header(untar, (const struct tar_block *)(const void *)block);
    case IN_OLD_MAP:
        return take_old_map(untar, block);
    default:
        return take_map(untar, block);
    }
}

/* A whole block is looked at where it is. */
static long take_some_block(struct pe_untar *untar, const char *data, size_t size)
{
    size_t lacks = BLOCK - untar->have;

    if (!untar->have && size >= BLOCK) {
        TRY(take_block(untar, data));
        return BLOCK;
    }
    if (size > lacks)
        size = lacks;
    memcpy((char *)&untar->block + untar->have, data, size);
    untar->have += size;
    if (untar->have == BLOCK) {
        untar->have = 0;
        TRY(take_block(untar, (const char *)&untar->block));
    }
    return (long)size;
}

static int end_extension(struct pe_untar *untar)
{
    uint64_t size = untar->entry.size;

    skip(untar, padded(size) - size);
    if (untar->extension == 'x' || untar->extension == 'X')
        return tar_read_pax((struct tar_text){untar->pax, untar->pax_size}, &untar->overrides,
                            &untar->entry.sparse);
    if (untar->extension == 'L')
        untar->name_size = strnlen(untar->long_name, untar->name_size);
    else if (untar->extension == 'K')
        untar->link_size = strnlen(untar->long_link, untar->link_size);
    return 0;
}

static long take_extension(struct pe_untar *untar, const char *data, size_t size)
{
    if (size > untar->left)
        size = untar->left;
    switch (untar->extension) {
    case 'g': /* as docker has it: global headers say nothing about a layer */
        break;
    case 'L':
        memcpy(untar->long_name + untar->name_size, data, size);
        untar->name_size += size;
        break;
    case 'K':
        memcpy(untar->long_link + untar->link_size, data, size);
        untar->link_size += size;
        break;
    default:
        memcpy(untar->pax + untar->pax_size, data, size);
        untar->pax_size += size;
    }
    untar->left -= size;
    return (long)size;
}

/* As much as lies together in the file. */
static long take_data(struct pe_untar *untar, const char *data, size_t size)
{
    const struct tar_sparse *sparse = &untar->entry.sparse;
    uint64_t offset = untar->offset, most = untar->left;

    if (sparse->kind) {
        while (untar->offset == sparse->segments[untar->segment].size) {
            untar->segment++; /* there is one: the map was found to be as long as the data */
            untar->offset = 0;
        }
        offset = sparse->segments[untar->segment].offset + untar->offset;
        most = sparse->segments[untar->segment].size - untar->offset;
    }
    if (size > most)
        size = most;
    TRY(place_data(&untar->place, data, size, offset));
    untar->offset += size;
    untar->left -= size;
    return (long)size;
}

static long take_padding(struct pe_untar *untar, size_t size)
{
    if (size > untar->left)
        size = untar->left;
    skip(untar, untar->left - size);
    return (long)size;
}

/* What is left of the payload was all that there was. */
static int end_payload(struct pe_untar *untar)
{
    if (untar->state == IN_EXTENSION)
        return end_extension(untar);
    untar->left = untar->entry.size; /* for its padding: a map ahead of the data is whole blocks */
    return end_entry(untar);
}

static long take(struct pe_untar *untar, const char *data, size_t size)
{
    switch (untar->state) {
    case IN_EXTENSION:
        return take_extension(untar, data, size);
    case IN_DATA:
        return take_data(untar, data, size);
    case IN_PADDING:
        return take_padding(untar, size);
    case AT_END:
        untar->behind += size;
        return untar->behind > MOST_BEHIND ? WRONG(TRAILER) : (long)size;
    default:
        return take_some_block(untar, data, size);
    }
}

static int feed(struct pe_untar *untar, const char *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        at += (size_t)TRY(take(untar, data + at, size - at));
        while ((untar->state == IN_DATA || untar->state == IN_EXTENSION) && !untar->left)
            TRY(end_payload(untar));
    }
    return 0;
}

/* What has gone wrong once stays so. */
int pe_untar_feed(struct pe_untar *untar, const char *data, size_t size)
{
    if (!untar->fault)
        untar->fault = feed(untar, data, size);
    return untar->fault;
}

int pe_untar_finish(struct pe_untar *untar, struct pe_untarred *result)
{
    if (untar->fault)
        return untar->fault;
    /* many archives end without the blocks that end one, and nobody minds */
    if (untar->state != AT_END && (untar->state != AT_HEADER || untar->have || untar->seen))
        return untar->fault = WRONG(TRUNCATED);
    untar->entry.name[0] = 0;
    untar->fault = end_directories(&untar->place);
    *result = untar->place.count;
    return untar->fault;
}

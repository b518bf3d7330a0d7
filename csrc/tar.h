/* What a tar archive is made of, for who reads one and for who writes one. */
#pragma once
#include "internal.h"

enum { BLOCK = 512, LONGEST_NAME = 4095, MOST_RECORDS = 10000, MOST_SEGMENTS = 1 << 20 };

/* Give up an archive, or a file on its way into one. */
#define WRONG(what) (-(int)PE_TAR_##what)

struct tar_block {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type;
    char link[100], magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct tar_block) == BLOCK, "a header is one block");

/* Where GNU's old format has the map of a sparse file: in the prefix, and in blocks of their own. */
enum {
    OLD_SPARSE = 386,
    OLD_SEGMENTS = 4,
    OLD_EXTENDED = 482,
    OLD_REAL_SIZE = 483,
    MORE_SEGMENTS = 21,
    MORE_EXTENDED = 504,
    OLD_SEGMENT = 24,
    OLD_NUMBER = 12
};

struct tar_segment {
    uint64_t offset, size;
};

enum sparse_kind { DENSE, SPARSE_OLD, SPARSE_LISTED, SPARSE_AHEAD }; /* AHEAD: the map is in the data */

struct tar_sparse {
    enum sparse_kind kind;
    uint64_t real_size;
    size_t n, room;
    struct tar_segment *segments; /* kept for the next file */
    int64_t offset;               /* read already, and waiting for its size; or -1 */
    uint64_t number, expected;    /* a map in the data: the number at hand, how many segments there will be */
    int digits, counted;
};

/* One entry, as the headers before it and its own say it is. */
struct tar_entry {
    char type;
    uint32_t mode, uid, gid, major, minor;
    int64_t mtime;
    uint32_t mtime_ns;
    uint64_t size; /* of what follows */
    int has_attributes;
    char name[LONGEST_NAME + 1], link[LONGEST_NAME + 1];
    struct tar_sparse sparse;
};

struct tar_text {
    const char *at;
    size_t size;
};

struct tar_record {
    struct tar_text key, value;
};

/* What an extended header overrides; it is applied over the entry's own. */
struct tar_overrides {
    unsigned given; /* of enum tar_given */
    int64_t size, uid, gid, mtime;
    uint32_t mtime_ns;
    int has_attributes;
    unsigned sparse_major;
    struct tar_text path, link, sparse_name;
    int has_sparse_size;
};

enum tar_given { GIVEN_SIZE = 1, GIVEN_UID = 2, GIVEN_GID = 4, GIVEN_MTIME = 8, GIVEN_SPARSE = 16 };

/* tar_header.c: pure. */
int tar_number(const char *field, size_t size, int64_t *number);
int tar_is_header(const struct tar_block *block);
int tar_is_empty(const struct tar_block *block);
int tar_read_header(const struct tar_block *block, struct tar_entry *entry);
void tar_settle_type(struct tar_entry *entry);
int tar_set_text(char text[LONGEST_NAME + 1], struct tar_text from);

/* tar_pax.c: pure. */
int tar_next_record(struct tar_text *rest, struct tar_record *record); /* 1, or 0 when there is none left */
int tar_is_attribute(const struct tar_record *record, struct tar_text *name);
int tar_read_pax(struct tar_text text, struct tar_overrides *overrides, struct tar_sparse *sparse);
int tar_override(struct tar_entry *entry, const struct tar_overrides *overrides);

/* tar_sparse.c: pure, but for the memory of the segments. */
void tar_forget_map(struct tar_sparse *sparse);
int tar_add_segment(struct tar_sparse *sparse, int64_t offset, int64_t size);
int tar_add_old(struct tar_sparse *sparse, const char *at, int n);
int tar_add_list(struct tar_sparse *sparse, struct tar_text list);
int tar_read_map(struct tar_sparse *sparse, const char *block, size_t size); /* 1: that was all of it */
int tar_check_map(const struct tar_sparse *sparse, uint64_t size);
int tar_decimal(struct tar_text text, int64_t *number);

static inline uint64_t padded(uint64_t size)
{
    return (size + BLOCK - 1) & ~(uint64_t)(BLOCK - 1);
}

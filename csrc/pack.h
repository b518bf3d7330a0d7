/* Packing: the walk through a tree, and what is written of it. */
#pragma once
#include "tar.h"
#include <sys/stat.h>

enum { OUT_ROOM = 1 << 20, LIST_ROOM = 65536, VALUE_ROOM = 65536 };

/* What of an archive is not yet written. */
struct out {
    int fd;
    size_t used;
    uint64_t written, most;
    char *room; /* OUT_ROOM bytes */
};

/* Files with several names: the first one they were met by. */
struct links {
    struct known {
        uint64_t inode;
        uint64_t device;
        size_t name; /* 1 + where it begins in `names`; 0: free */
    } * table;
    size_t room, n;
    char *names;
    size_t names_size, names_room;
};

struct tar_member {
    const char *name;
    const char *link; /* or "" */
    char type;
    uint32_t mode, uid, gid, major, minor;
    uint64_t size;
    int64_t mtime;
    uint32_t mtime_ns;
    const char *records; /* extended attributes, as records of an extended header */
    size_t records_size;
};

/* Text that grows, PE_TAR_MOST_PAX bytes at most. */
struct growing {
    char *at;
    size_t size, room;
};

/* tar_write.c */
int out_bytes(struct out *out, const char *data, size_t size);
int out_file(struct out *out, int file, uint64_t size);
int out_padding(struct out *out, uint64_t size);
int out_end(struct out *out);
int out_header(struct out *out, const struct tar_member *member, struct growing *pax);
int add_record(struct growing *text, const char *prefix, const char *key, const char *value, size_t size);

/* tar_links.c: 1, and the name it was met by before; 0: it is new, and known from now on as *name*. */
int find_link(struct links *links, const struct stat *is, const char *name, const char **before);
void forget_links(struct links *links);

/* tar_marks.c: extended attributes of the file that *path* names; an overlay's own tell what it is. */
struct marks {
    int opaque;
    struct growing records;
    char list[LIST_ROOM], value[VALUE_ROOM];
};

int read_marks(struct marks *marks, int fd, unsigned flags);

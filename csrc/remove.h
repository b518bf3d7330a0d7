/* Removing trees, for who has a libc and who has none. */
#pragma once
#include "internal.h"

enum { SWEEP_ROOM = 32 * 1024 };

struct entry { /* as the kernel lays it out: getdents64(2) */
    uint64_t ino;
    int64_t off;
    unsigned short size;
    unsigned char type;
    char name[];
};

enum { TYPE_DIRECTORY = 4 }; /* DT_DIR */

typedef int entry_function(void *with, int directory, const struct entry *entry);

/* How many entries there were; `room` is for their names. */
int for_each_entry(int directory, char *room, size_t size, entry_function *function, void *with);

/* A tree on its way out. */
struct sweep {
    int top;
    unsigned long moved;
    char above[SWEEP_ROOM], below[SWEEP_ROOM];
};

int remove_tree(int dirfd, const char *name, struct sweep *sweep);

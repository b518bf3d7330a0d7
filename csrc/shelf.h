/* What an owner wants to outlive it: descriptors, for who asks for them once it is dead. */
#pragma once
#include "ward.h"

enum { MOST_KEPT = 8192, DOOR_NAME = 128 };

struct kept {
    uint64_t key; /* 0: nothing */
    int fd;
};

struct shelf {
    int door, directory; /* a listening socket, and where its name is; -1 as long as nobody has told */
    char name[DOOR_NAME];
    int n_kept;
    struct kept kept[MOST_KEPT]; /* bss: touched as far as it is used */
};

int is_for_shelf(uint32_t op);

/* Do as a word says: 0, or -errno where it makes no sense.  The fds are the shelf's now. */
int stow(struct shelf *shelf, const struct pe_guard_word *word, const int *fds, int n_fds);

/* Give what is kept to who comes, until nothing is left or somebody says that nobody wants the rest. */
void hand_out(struct shelf *shelf);

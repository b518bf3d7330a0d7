/* What a guard knows of its owner, and what it does once that is dead. */
#pragma once
#include "remove.h"

#include "guard.h"

enum { MOST_PLACES = 64, MOST_HELD = 4096 };

struct place {
    uint32_t op;
    int directory;
    char text[PE_GUARD_TEXT];
};

struct held {
    uint64_t key; /* 0: nobody */
    int fds[PE_GUARD_FDS];
};

struct ward {
    int owner;  /* its pidfd; -1 as long as nobody has told */
    int owners; /* the directory of owners */
    int users;  /* the user namespace of who has written what is buried; -1: ours */
    int lock;   /* the owner's own, to see whether anybody holds it; -1 until asked */
    char name[PE_GUARD_TEXT];
    int n_places, n_held;
    struct place places[MOST_PLACES];
    struct held held[MOST_HELD]; /* bss: touched as far as it is used */
    struct sweep sweep;
};

/* Remember a word: 1 if it is time to leave, 0, or -errno where it makes no sense.  The fds are the ward's
 * now.
 */
int note(struct ward *ward, const struct pe_guard_word *word, const int *fds, int n_fds);

int is_dead(const struct ward *ward);
int is_forsaken(struct ward *ward); /* it lives, but nobody has its lock: it has become another program */
void kill_all(struct ward *ward);
void bury(struct ward *ward, int64_t patience); /* milliseconds for what is slow to die */
void forget(struct ward *ward);

/* ward_cgroups.c: trees are directories, by fd, and paths are in them. */
int open_directory(int directory, const char *name);
void copy_text(char *to, const char *from, size_t n); /* ended by NUL */
int64_t milliseconds_now(void);
void kill_cgroup(int tree, const char *path);
int end_cgroup(int tree, const char *path, int64_t deadline); /* whether it is still there */
void remove_marked(int tree, const char *path);

/* One container by direct system calls: the least that what pyengine does by default can cost.
 *
 * These programs measure.  So they take the fewest calls that end in the same container, guard against
 * nothing an image could do, and end where something fails. */
#pragma once
#include "../csrc/syscalls.h"
#include <linux/filter.h>
#include <sys/types.h>

enum { MOST_PATHS = 64 };

struct path {
    const char *name; /* relative to the container's root */
    int is_directory;
};

/* What the containers of one measurement have in common. */
struct recipe {
    const char *lowers;    /* as overlayfs's lowerdir= wants them */
    const char *directory; /* where upper directories are made */
    const char *v2;        /* a v2 cgroup to make ours in */
    const char *pids;      /* the cgroup that limits pids: a v1 one, or v2 again */
    struct path masked[MOST_PATHS], locked[MOST_PATHS];
    uint64_t capabilities;
    struct sock_fprog filter;
    unsigned filter_flags;
    int rootless; /* in a user namespace, by who has one id and no rights */
    char **argv;
};

enum phase { DIRECTORIES, CGROUPS, CLONE, ROOT, MOUNTS, COVERS, PIVOT, PRIVILEGES, PROGRAM, REMOVAL, PHASES };

struct container {
    pid_t pid;
    int out, err; /* our ends of its pipes */
    char home[200], trash[200], v2[200], pids[200];
};

/* clone.c */
int64_t now(void);
_Noreturn void die(const char *doing);
pid_t borrow_memory(uint64_t namespaces, int cgroup, void (*child)(const void *), const void *arg);

/* recipe.c */
#define RECIPE_OPTIONS "l:d:2:1:m:r:c:f:F:u"
int read_option(struct recipe *recipe, int option, const char *value);

/* privileges.c: what a program may not keep; the same for one that joins. */
void drop_privileges(const struct recipe *recipe);

/* child.c */
struct birth {
    const struct recipe *recipe;
    const char *home; /* the container's own directory */
    int stdio[3];
    int tasks;            /* an open v1 `tasks` file, or -1 */
    unsigned user, group; /* who we are outside */
};
void become(const void *birth);

/* container.c */
extern int64_t stamps[PHASES]; /* when each phase of the last container ended */
void start(const struct recipe *recipe, struct container *container, const char *name);
int reap(const struct container *container);
void take_away(const struct container *container);
void delete_tree(const char *path);

/* drain.c: read both pipes of a program to their end; with a file, write docker's log lines to it. */
int64_t drain(int out, int err, int log);

/* The idioms every file in csrc/ shares.  Nothing here knows what a container is. */
#pragma once
#include "syscalls.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#include "pyengine.h"

/* linux/stat.h leaves these to the C library wherever there is one. */
#define IS_DIRECTORY(mode) ((0170000 & (mode)) == 0040000)
#define IS_DEVICE(mode) ((0170000 & (mode)) == 0020000)
#define IS_PIPE(mode) ((0170000 & (mode)) == 0010000)
#define IS_SOCKET(mode) ((0170000 & (mode)) == 0140000)

/* Leave the function with -errno if a call failed; otherwise give its result. */
#define TRY(call)                                                                                            \
    ({                                                                                                       \
        long r_ = (long)(call);                                                                              \
        if (r_ < 0)                                                                                          \
            return (int)r_;                                                                                  \
        r_;                                                                                                  \
    })

static inline void close_fd(int *fd)
{
    if (*fd >= 0)
        SYS(close, *fd);
    *fd = -1;
}

/* An fd that closes itself on every way out of its scope. */
#define OWNED_FD __attribute__((cleanup(close_fd))) int

/* Where a born child finds how to report, in the landing too. */
enum { REPORT_FD = 3, ABOVE_REPORT = 4 };

/* A child on its way through its plan: what earlier steps left for later ones. */
struct walker {
    const char *plan;
    const int *fds; /* of the birth, as they are numbered here */
    int root;       /* the container's root directory, or -1 */
    int at;         /* the mount made last */
    int proc;       /* the container's own procfs, as we mounted it */
    int null;       /* a null device nobody could have swapped */
    int empty;      /* an empty read-only directory */
    int report;
    int (*enter)(struct walker *walker); /* PE_ENTER, for those who can */
};

/* steps.c */
struct walker new_walker(const char *plan, const int *fds, int report);
int walk(struct walker *walker, int *failed_step);

/* mount.c */
int make_overlay(const char *lowers, int below, const char *upper, const char *work, uint64_t flags);
int make_mount(const char *kind, const char *options, uint64_t attributes);

/* resolve.c: paths inside a root that may be hostile. */
int resolve(int root, const char *path, uint64_t flags);
int resolve_or_make(int root, const char *path, int directory);
int is_directory(int fd);
int is_device(int fd, unsigned major, unsigned minor);
int is_same(int a, int b); /* the same file in the same mount */
int open_patiently(int directory, const char *path, const struct open_how *how);

/* program.c */
int run_program(char **argv, char **envp);

/* bounds.c */
int drop_bounds(uint64_t kept);

/* say.c */
int say(int report, const struct pe_said *said);

/* "/proc/self/fd/N" reaches what only a path can name, whatever lies on its own path. */
enum { FD_NAME = 32 };

static inline void name_fd(int fd, char name[FD_NAME])
{
    const char *start = "/proc/self/fd/";
    int digits = 1;

    while (*start)
        *name++ = *start++;
    for (int n = fd; n > 9; n /= 10)
        digits++;
    name[digits] = 0;
    for (; digits; fd /= 10)
        name[--digits] = (char)('0' + fd % 10);
}

static inline const char *text_of(const char *plan, uint32_t offset)
{
    return offset ? plan + offset : NULL;
}

static inline size_t length(const char *text)
{
    size_t n = 0;

    while (text && text[n])
        n++;
    return n;
}

static inline int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

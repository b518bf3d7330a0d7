/* File work that Python has no call for, or would be slow at. */
#include "internal.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUFFER = 32 * 1024 };

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif

struct linux_dirent64 {
    uint64_t ino;
    int64_t off;
    unsigned short size;
    unsigned char type;
    char name[];
};

int pe_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve_flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve_flags};

    return open_patiently(dirfd, path, &how);
}

/* Everything in a sealed memfd stays as it is, whoever gets hold of it.  1: so does its mode, which before
 * Linux 6.3 a container that finds it as /proc/1/exe can change, so that nobody may execute it again. */
int pe_seal(int fd)
{
    int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    int sealed = (int)SYS(fcntl, fd, F_ADD_SEALS, seals | F_SEAL_EXEC);

    if (sealed == -EINVAL)
        return (int)SYS(fcntl, fd, F_ADD_SEALS, seals);
    return sealed < 0 ? sealed : 1;
}

/* A tree on its way out. */
struct sweep {
    int top;
    unsigned long moved;
    char above[BUFFER], below[BUFFER];
};

typedef int entry_function(struct sweep *sweep, int directory, const struct linux_dirent64 *entry);

/* How many entries there were; `room` is for their names. */
static int for_each_entry(struct sweep *sweep, int directory, char *room, entry_function *function)
{
    int seen = 0;

    TRY(SYS(lseek, directory, 0, SEEK_SET));
    for (long n; (n = TRY(SYS(getdents64, directory, room, BUFFER))) > 0;) {
        for (long at = 0; at < n;) {
            const struct linux_dirent64 *entry = (const struct linux_dirent64 *)(const void *)(room + at);
            at += entry->size;
            if (same(entry->name, ".") || same(entry->name, ".."))
                continue;
            TRY(function(sweep, directory, entry));
            seen++;
        }
    }
    return seen;
}

/* A container may have taken away even its owner's right to look. */
static int allow(int parent, const char *name)
{
    char by_fd[FD_NAME];
    OWNED_FD held = (int)TRY(SYS(openat, parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));

    name_fd(held, by_fd);
    return (int)SYS(fchmodat, AT_FDCWD, by_fd, 0700);
}

static int enter(int parent, const char *name)
{
    struct statx found = {0};
    int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int entered = (int)SYS(openat, parent, name, how);

    if (entered == -EACCES && allow(parent, name) == 0)
        entered = (int)SYS(openat, parent, name, how);
    if (entered >= 0 && SYS(statx, entered, "", AT_EMPTY_PATH, STATX_MODE, &found) == 0 &&
        (found.stx_mode & 0700) != 0700)
        SYS(fchmod, entered, 0700);
    return entered;
}

/* Remove a file or an empty directory. */
static int remove_entry(int directory, const struct linux_dirent64 *entry)
{
    int removed = (int)SYS(unlinkat, directory, entry->name, entry->type == DT_DIR ? AT_REMOVEDIR : 0);

    if (removed == -EISDIR)
        removed = (int)SYS(unlinkat, directory, entry->name, AT_REMOVEDIR);
    return removed == -ENOENT ? 0 : removed == -EEXIST ? -ENOTEMPTY : removed;
}

static int remove_or_move_up(struct sweep *sweep, int directory, const struct linux_dirent64 *entry)
{
    int done = remove_entry(directory, entry), allowed = 0;
    char up[32];

    while (done == -ENOTEMPTY || done == -EEXIST || done == -ENOTDIR || (done == -EACCES && !allowed++)) {
        if (done == -EACCES)
            TRY(allow(directory, entry->name));
        snprintf(up, sizeof up, ".removed-%lu", ++sweep->moved); /* if such a name is taken, take the next */
        done = (int)SYS(renameat2, directory, entry->name, sweep->top, up, 0);
    }
    return done;
}

static int remove_from_top(struct sweep *sweep, int top, const struct linux_dirent64 *entry)
{
    int done = remove_entry(top, entry);

    if (done != -ENOTEMPTY)
        return done;
    OWNED_FD here = (int)TRY(enter(top, entry->name));
    TRY(for_each_entry(sweep, here, sweep->below, remove_or_move_up));
    return (int)SYS(unlinkat, top, entry->name, AT_REMOVEDIR);
}

/* Like rm -r, never following a link, with two fds and constant stack however deep it goes: a container may
 * have nested its directories a hundred thousand deep to keep us from it.  Nor is ".." followed, which leads
 * elsewhere if somebody moves the directory meanwhile: what is not empty moves up to the top, and is swept
 * there. */
static int remove_below(struct sweep *sweep)
{
    int seen;

    do
        seen = (int)TRY(for_each_entry(sweep, sweep->top, sweep->above, remove_from_top));
    while (seen);
    return 0;
}

int pe_remove_tree(int dirfd, const char *name)
{
    int removed = (int)SYS(unlinkat, dirfd, name, AT_REMOVEDIR);

    if (removed == -ENOTDIR)
        return (int)SYS(unlinkat, dirfd, name, 0);
    if (removed != -ENOTEMPTY && removed != -EEXIST)
        return removed;
    OWNED_FD top = (int)TRY(enter(dirfd, name));
    struct sweep *sweep = malloc(sizeof *sweep);
    if (!sweep)
        return -ENOMEM;
    sweep->top = top;
    sweep->moved = 0;
    int swept = remove_below(sweep);
    free(sweep);
    TRY(swept);
    return (int)SYS(unlinkat, dirfd, name, AT_REMOVEDIR);
}

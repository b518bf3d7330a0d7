/* Removing a tree that whoever filled it may not want to be removed. */
#include "remove.h"

enum { MOST_TIMES = 16 };

int for_each_entry(int directory, char *room, size_t size, entry_function *function, void *with)
{
    int seen = 0;

    TRY(SYS(lseek, directory, 0, SEEK_SET));
    for (long n; (n = TRY(SYS(getdents64, directory, room, size))) > 0;) {
        for (long at = 0; at < n;) {
            const struct entry *entry = (const struct entry *)(const void *)(room + at);
            at += entry->size;
            if (same(entry->name, ".") || same(entry->name, ".."))
                continue;
            TRY(function(with, directory, entry));
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

/* Somebody else is at it as well: what he has taken is none of ours any more, the rest still is. */
static int unless_gone(long done)
{
    return done == -ENOENT ? 0 : (int)done;
}

/* Remove a file or an empty directory. */
static int remove_entry(int directory, const struct entry *entry)
{
    int how = entry->type == TYPE_DIRECTORY ? AT_REMOVEDIR : 0;
    int removed = (int)SYS(unlinkat, directory, entry->name, how);

    if (removed == -EISDIR)
        removed = (int)SYS(unlinkat, directory, entry->name, AT_REMOVEDIR);
    return removed == -EEXIST ? -ENOTEMPTY : unless_gone(removed);
}

static void name_moved(unsigned long number, char *name)
{
    const char *start = ".removed-";
    int digits = 1;

    while (*start)
        *name++ = *start++;
    for (unsigned long n = number; n > 9; n /= 10)
        digits++;
    name[digits] = 0;
    for (; digits; number /= 10)
        name[--digits] = (char)('0' + number % 10);
}

static int remove_or_move_up(void *with, int directory, const struct entry *entry)
{
    struct sweep *sweep = with;
    int done = remove_entry(directory, entry), allowed = 0;
    char up[32];

    while (done == -ENOTEMPTY || done == -EEXIST || done == -ENOTDIR || (done == -EACCES && !allowed++)) {
        if (done == -EACCES)
            TRY(unless_gone(allow(directory, entry->name)));
        name_moved(++sweep->moved, up); /* if such a name is taken, take the next */
        done = unless_gone(SYS(renameat2, directory, entry->name, sweep->top, up, 0));
    }
    return done;
}

static int remove_from_top(void *with, int top, const struct entry *entry)
{
    struct sweep *sweep = with;
    int done = remove_entry(top, entry);

    if (done != -ENOTEMPTY)
        return done;
    OWNED_FD here = enter(top, entry->name);
    if (here < 0)
        return unless_gone(here);
    TRY(unless_gone(for_each_entry(here, sweep->below, sizeof sweep->below, remove_or_move_up, sweep)));
    return unless_gone(SYS(unlinkat, top, entry->name, AT_REMOVEDIR));
}

/* Like rm -r, never following a link, with two fds and constant stack however deep it goes: a container may
 * have nested its directories a hundred thousand deep to keep us from it.  Nor is ".." followed, which leads
 * elsewhere if somebody moves the directory meanwhile: what is not empty moves up to the top, and is swept
 * there. */
static int remove_below(struct sweep *sweep)
{
    int seen;

    do
        seen =
            (int)TRY(for_each_entry(sweep->top, sweep->above, sizeof sweep->above, remove_from_top, sweep));
    while (seen);
    return 0;
}

int remove_tree(int dirfd, const char *name, struct sweep *sweep)
{
    int removed = (int)SYS(unlinkat, dirfd, name, AT_REMOVEDIR);

    if (removed == -ENOTDIR)
        return (int)SYS(unlinkat, dirfd, name, 0);
    if (removed != -ENOTEMPTY && removed != -EEXIST)
        return removed;
    OWNED_FD top = (int)TRY(enter(dirfd, name));
    sweep->top = top;
    sweep->moved = 0;
    for (int again = 0;; again++) {
        TRY(remove_below(sweep));
        removed = (int)SYS(unlinkat, dirfd, name, AT_REMOVEDIR);
        /* who removes it too has moved up what we had seen to be empty; who fills it is not waited for */
        if ((removed != -ENOTEMPTY && removed != -EEXIST) || again == MOST_TIMES)
            return removed;
    }
}

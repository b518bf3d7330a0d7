/* File work that Python has no call for, or would be slow at. */
#include "internal.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER = 32 * 1024, MOST_DEPTH = 1 << 20 };

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

    return (int)SYS(openat2, dirfd, path, &how, sizeof how);
}

/* Everything in a sealed memfd stays as it is, whoever gets hold of it. */
int pe_seal(int fd)
{
    return (int)SYS(fcntl, fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
}

/* Remove what can be removed here; the name of a directory that is left comes back in `below`. */
static int sweep(int directory, char *buffer, char *below)
{
    long n;

    if (SYS(lseek, directory, 0, SEEK_SET) < 0)
        return -EIO;
    while ((n = TRY(SYS(getdents64, directory, buffer, BUFFER))) > 0) {
        for (long at = 0; at < n;) {
            struct linux_dirent64 *entry = (struct linux_dirent64 *)(void *)(buffer + at);
            const char *name = entry->name;
            at += entry->size;
            if (same(name, ".") || same(name, ".."))
                continue;
            int removed = entry->type == DT_DIR ? (int)SYS(unlinkat, directory, name, AT_REMOVEDIR)
                                                : (int)SYS(unlinkat, directory, name, 0);
            if (removed == -EISDIR)
                removed = (int)SYS(unlinkat, directory, name, AT_REMOVEDIR);
            if (removed == -ENOTEMPTY || removed == -EEXIST) {
                memcpy(below, name, strlen(name) + 1);
                return 1;
            }
            if (removed < 0 && removed != -ENOENT)
                return removed;
        }
    }
    return 0;
}

/* Like rm -r, never following a link, with one fd and constant stack however deep it goes: a container may have
 * nested its directories a hundred thousand deep to keep us from it. */
static int remove_below(int top, char *buffer)
{
    char name[256];
    int depth = 0;
    OWNED_FD here = (int)TRY(SYS(fcntl, top, F_DUPFD_CLOEXEC, 0));

    for (;;) {
        int left = sweep(here, buffer, name);
        if (left < 0)
            return left;
        if (left == 0 && depth == 0)
            return 0;
        const char *next = left ? name : "..";
        if (left) { /* the container may have taken away even its owner's right to look */
            struct statx found;
            TRY(SYS(statx, here, name, AT_SYMLINK_NOFOLLOW, STATX_MODE, &found));
            if ((found.stx_mode & 0700) != 0700)
                SYS(fchmodat, here, name, 0700);
            if (++depth > MOST_DEPTH)
                return -ELOOP;
        } else {
            depth--;
        }
        int moved = (int)TRY(SYS(openat, here, next, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        close_fd(&here);
        here = moved;
    }
}

int pe_remove_tree(int dirfd, const char *name)
{
    int removed = (int)SYS(unlinkat, dirfd, name, AT_REMOVEDIR);

    if (removed == -ENOTDIR)
        return (int)SYS(unlinkat, dirfd, name, 0);
    if (removed != -ENOTEMPTY && removed != -EEXIST)
        return removed;
    OWNED_FD top = (int)TRY(SYS(openat, dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    char *buffer = malloc(BUFFER);
    if (!buffer)
        return -ENOMEM;
    int swept = remove_below(top, buffer);
    free(buffer);
    TRY(swept);
    return (int)SYS(unlinkat, dirfd, name, AT_REMOVEDIR);
}

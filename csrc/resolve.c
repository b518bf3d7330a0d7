/* Paths inside a container's root, whose links may have been laid by somebody hostile.
 *
 * Every path goes through openat2(2) with RESOLVE_IN_ROOT: an absolute link or
 * ".." ends at the container's root, /proc's magic links are refused, and what
 * was resolved is held by fd, so it cannot be swapped before it is mounted on
 * (CVE-2021-30465, CVE-2025-31133). */
#include "internal.h"

enum { LONGEST = 4096, MOST_LINKS = 8 };

int resolve(int root, const char *path, uint64_t flags)
{
    struct open_how how = {
        .flags = flags | O_PATH | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };

    return (int)SYS(openat2, root, path, &how, sizeof how);
}

static int kind_of(int fd, struct statx *found)
{
    return (int)SYS(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_MODE, found);
}

int is_directory(int fd)
{
    struct statx found;

    TRY(kind_of(fd, &found));
    return IS_DIRECTORY(found.stx_mode);
}

int is_device(int fd, unsigned major, unsigned minor)
{
    struct statx found;

    TRY(kind_of(fd, &found));
    return IS_DEVICE(found.stx_mode) && found.stx_rdev_major == major && found.stx_rdev_minor == minor;
}

static int make_at(int parent, const char *name, int directory)
{
    if (directory)
        return (int)SYS(mkdirat, parent, name, 0755);
    int made = (int)TRY(SYS(openat, parent, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0644));
    return (int)SYS(close, made);
}

/* Write what a dangling link at *end of path* points to over that end. */
static int follow_link(int parent, char *path, char *name)
{
    char link[LONGEST];
    long n = TRY(SYS(readlinkat, parent, name, link, sizeof link - 1));

    link[n] = 0;
    char *to = link[0] == '/' ? path : name;
    if ((to - path) + n + 1 > LONGEST)
        return -ENAMETOOLONG;
    for (long i = 0; i <= n; i++)
        to[i] = link[i];
    return 0;
}

/* Open *path*, making its last name and whatever lacks above it.  Each name is
 * made in a directory that we hold by fd. */
static int make_path(int root, const char *path, int directory, int depth)
{
    char copy[LONGEST];
    size_t n = length(path);
    OWNED_FD parent = (int)TRY(resolve(root, "/", O_DIRECTORY));

    if (n >= sizeof copy)
        return -ENAMETOOLONG;
    for (size_t i = 0; i <= n; i++)
        copy[i] = path[i];
    for (char *name = copy;;) {
        while (*name == '/')
            name++;
        char *end = name;
        while (*end && *end != '/')
            end++;
        char cut = *end;
        int last = !cut || !end[1];
        *end = 0;
        int here = resolve(root, copy, 0);
        if (here == -ENOENT) {
            int made = make_at(parent, name, directory || !last);
            if (made == -EEXIST && last && depth < MOST_LINKS) { /* a link that leads nowhere, yet */
                TRY(follow_link(parent, copy, name));
                return make_path(root, copy, directory, depth + 1);
            }
            TRY(made);
            here = resolve(root, copy, O_NOFOLLOW);
        }
        if (here < 0 || last)
            return here;
        *end = cut;
        close_fd(&parent);
        parent = here;
        name = end;
    }
}

int resolve_or_make(int root, const char *path, int directory)
{
    int found = resolve(root, path, 0);

    return found == -ENOENT ? make_path(root, path, directory, 0) : found;
}

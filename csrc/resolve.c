/* Paths inside a container's root, whose links may have been laid by somebody hostile.
 *
 * Every path goes through openat2(2) with RESOLVE_IN_ROOT: an absolute link or
 * ".." ends at the container's root, /proc's magic links are refused, and what
 * was resolved is held by fd, so it cannot be swapped before it is mounted on
 * (CVE-2021-30465, CVE-2025-31133). */
#include "internal.h"

enum { LONGEST = 4096, MOST_LINKS = 40, MOST_TRIES = 1000 };

/* While anybody on the host renames or mounts something, ".." cannot be followed safely: the kernel says try
 * again. */
int open_patiently(int directory, const char *path, const struct open_how *how)
{
    int opened, tries = 0;

    do
        opened = (int)SYS(openat2, directory, path, how, sizeof *how);
    while (opened == -EAGAIN && ++tries < MOST_TRIES);
    return opened;
}

int resolve(int root, const char *path, uint64_t flags)
{
    struct open_how how = {
        .flags = flags | O_PATH | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };

    return open_patiently(root, path, &how);
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

int is_same(int a, int b)
{
    enum { WHICH = STATX_INO | STATX_MNT_ID };
    struct statx one, other;

    TRY(SYS(statx, a, "", AT_EMPTY_PATH, WHICH, &one));
    TRY(SYS(statx, b, "", AT_EMPTY_PATH, WHICH, &other));
    return one.stx_mnt_id == other.stx_mnt_id && one.stx_ino == other.stx_ino;
}

static int make_at(int parent, const char *name, int directory)
{
    if (directory)
        return (int)SYS(mkdirat, parent, name, 0755);
    int made =
        (int)TRY(SYS(openat, parent, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0644));
    return (int)SYS(close, made);
}

/* Put what the link says in the place of its name, which begins at *at* and ends at *rest* in *path*. */
static int follow_link(int parent, char *path, size_t at, size_t rest)
{
    char name[256], link[LONGEST], after[LONGEST];
    size_t n, end = length(path + rest) + 1;

    if (rest - at >= sizeof name)
        return -ENAMETOOLONG;
    __builtin_memcpy(name, path + at, rest - at);
    name[rest - at] = 0;
    long said = SYS(readlinkat, parent, name, link, sizeof link);
    if (said == -EINVAL)
        return 0; /* no link: somebody else has just made it */
    n = (size_t)TRY(said);
    if (link[0] == '/')
        at = 0;
    if (at + n + end > LONGEST)
        return -ENAMETOOLONG;
    __builtin_memcpy(after, path + rest, end);
    __builtin_memcpy(path + at, link, n);
    __builtin_memcpy(path + at + n, after, end);
    return 0;
}
/* Open *path*, making what lacks on it; each name is made in a directory that we hold by fd.  A link that
 * leads nowhere, yet, is put into *path*, which is then to be walked again. */
static int make_path(int root, char *path, int directory, int *again)
{
    OWNED_FD parent = (int)TRY(resolve(root, "/", O_DIRECTORY));

    for (size_t at = 0, end;; at = end) {
        while (path[at] == '/')
            at++;
        for (end = at; path[end] && path[end] != '/';)
            end++;
        size_t next = end;
        while (path[next] == '/')
            next++;
        int last = !path[next];
        char cut = path[end];
        path[end] = 0;
        int here = resolve(root, path, 0);
        int made = here == -ENOENT ? make_at(parent, path + at, directory || !last) : 0;
        if (here == -ENOENT && made == 0)
            here = resolve(root, path, O_NOFOLLOW);
        path[end] = cut;
        if (made == -EEXIST) {
            *again = 1;
            return follow_link(parent, path, at, end);
        }
        TRY(made);
        if (here < 0 || last)
            return here;
        close_fd(&parent);
        parent = here;
    }
}

int resolve_or_make(int root, const char *path, int directory)
{
    char walked[LONGEST];
    size_t n = length(path) + 1;
    int found = resolve(root, path, 0), again = 1;

    if (found != -ENOENT)
        return found;
    if (n > sizeof walked)
        return -ENAMETOOLONG;
    __builtin_memcpy(walked, path, n);
    for (int links = 0; again && links < MOST_LINKS; links++) {
        again = 0;
        found = (int)TRY(make_path(root, walked, directory, &again));
    }
    return again ? -ELOOP : found;
}

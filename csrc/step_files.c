/* The steps that fill the container's root: one function a step. */
#include "remove.h"
#include "steps.h"
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <asm/termbits.h>
#include <linux/magic.h>

enum { TOP_OF_PROC = 1 }; /* its inode, whichever procfs it is */
enum { REGULAR = 0100000 };
enum { DETACH = 2 }; /* MNT_DETACH, whose header does not go together with linux/mount.h */

/* Never on the root itself, where a link of the image may lead: what is put there covers nothing, for the
 * root is what lies below it, and is found at "/.." without what should mask it. */
static int mount_on(const struct walker *walker, int mount, int place)
{
    if (TRY(is_same(walker->root, place)))
        return -ELOOP;
    int moved = (int)SYS(move_mount, mount, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    return moved == -EINVAL && is_directory(place) != is_directory(mount) ? -ENOTDIR : moved;
}

/* A mount without a place becomes `at`; one with a place is put there as well. */
static int put(struct walker *walker, int mount, const char *target, int directory)
{
    close_fd(&walker->at);
    walker->at = mount;
    if (!target)
        return 0;
    OWNED_FD place = (int)TRY(resolve_or_make(walker->root, target, directory));
    return mount_on(walker, mount, place);
}

/* Before Linux 6.15 only what is part of our mount namespace can be cloned, or be a layer: put `at` where
 * nobody looks any more, and where it goes away with the host's root. */
static int set_aside(struct walker *walker)
{
    return (int)SYS(move_mount, walker->at, "", AT_FDCWD, "/sys", MOVE_MOUNT_F_EMPTY_PATH);
}

/* Clone what is in `at`. */
static int clone_at(struct walker *walker, int from, const char *name)
{
    unsigned how = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
    int mount = (int)SYS(open_tree, from, name, how);

    if (mount != -EINVAL)
        return mount;
    TRY(set_aside(walker));
    return (int)SYS(open_tree, from, name, how);
}

int step_overlay(struct walker *walker, const struct pe_step *step)
{
    int below = step->flags & PE_OVERLAY_OVER_AT ? walker->at : -1;

    if (!step->source)
        return -EINVAL;
    if (below >= 0) { /* tried first: an overlay that fails leaves its work directory unfit for the next */
        OWNED_FD clone = (int)TRY(clone_at(walker, below, ""));
        (void)clone;
    }
    int mount = (int)TRY(make_overlay(TEXT(source), below, TEXT(data), TEXT(kind), step->flags));
    return put(walker, mount, TEXT(target), 1);
}

static int remember_proc(struct walker *walker, int mount)
{
    close_fd(&walker->proc);
    walker->proc = (int)TRY(SYS(fcntl, mount, F_DUPFD_CLOEXEC, ABOVE_REPORT));
    return 0;
}

int step_mount(struct walker *walker, const struct pe_step *step)
{
    int mount = step->kind ? (int)TRY(make_mount(TEXT(kind), TEXT(data), step->flags)) : -EINVAL;

    TRY(mount);
    if (same(TEXT(kind), "proc"))
        TRY(remember_proc(walker, mount));
    return put(walker, mount, TEXT(target), 1);
}

static uint64_t propagation_of(const char *word)
{
    if (!word)
        return MS_PRIVATE;
    if (*word == 'r')
        word++;
    return same(word, "shared") ? MS_SHARED : same(word, "slave") ? MS_SLAVE : MS_PRIVATE;
}

static int dress(int mount, uint64_t flags, const char *propagation)
{
    struct mount_attr attr = {
        .attr_set = flags & 0xffffffff,
        .propagation = propagation_of(propagation),
    };
    unsigned recursive = AT_EMPTY_PATH | (flags & PE_BIND_RECURSIVE ? AT_RECURSIVE : 0);
    struct mount_attr top = {.attr_set = attr.attr_set};

    if (!(flags & PE_BIND_READONLY_BELOW)) {
        if (top.attr_set)
            TRY(SYS(mount_setattr, mount, "", AT_EMPTY_PATH, &top, sizeof top));
        attr.attr_set = 0;
    }
    return (int)SYS(mount_setattr, mount, "", recursive, &attr, sizeof attr);
}

int step_bind(struct walker *walker, const struct pe_step *step)
{
    unsigned how = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (step->flags & PE_BIND_RECURSIVE ? AT_RECURSIVE : 0);
    int mount;

    if (step->source)
        mount = (int)TRY(SYS(open_tree, AT_FDCWD, TEXT(source), how));
    else /* made by the engine, outside: only there can it share what is mounted later */
        mount = (int)TRY(SYS(fcntl, walker->fds[step->fd], F_DUPFD_CLOEXEC, ABOVE_REPORT));
    TRY(dress(mount, step->flags, TEXT(kind)));
    return put(walker, mount, TEXT(target), (int)TRY(is_directory(mount)));
}

int step_bind_at(struct walker *walker, const struct pe_step *step)
{
    struct mount_attr attr = {.attr_set = step->flags};
    OWNED_FD mount = (int)TRY(clone_at(walker, walker->at, TEXT(source)));
    OWNED_FD place = (int)TRY(resolve_or_make(walker->root, TEXT(target), (int)TRY(is_directory(mount))));

    if (step->flags)
        TRY(SYS(mount_setattr, mount, "", AT_EMPTY_PATH, &attr, sizeof attr));
    return mount_on(walker, mount, place);
}

/* What is at *path* in our root, which is another container's, if it is of the file system it should be. */
static int clone_of_kind(const char *path, uint64_t magic)
{
    uint64_t place[16]; /* struct statfs, whose first member is the magic number */
    struct statx top;
    OWNED_FD root = (int)TRY(SYS(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    OWNED_FD found = (int)TRY(resolve(root, path, 0));

    TRY(SYS(fstatfs, found, place));
    TRY(SYS(statx, found, "", AT_EMPTY_PATH, STATX_INO, &top));
    if (place[0] != magic || (magic == PROC_SUPER_MAGIC && top.stx_ino != TOP_OF_PROC))
        return -EINVAL; /* its container has put something else there */
    return (int)SYS(open_tree, found, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
}

/* Share a mount of another container: only from within its mount namespace can
 * it be cloned.  We go there and come back before anything else happens. */
int step_borrow(struct walker *walker, const struct pe_step *step)
{
    OWNED_FD home = (int)TRY(SYS(openat, AT_FDCWD, "/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC));
    int is_proc = step->kind && same(TEXT(kind), "proc");

    TRY(SYS(setns, walker->fds[step->fd], CLONE_NEWNS));
    int mount = clone_of_kind(TEXT(source), is_proc ? PROC_SUPER_MAGIC : TMPFS_MAGIC);
    TRY(SYS(setns, home, CLONE_NEWNS));
    TRY(mount);
    if (is_proc)
        TRY(remember_proc(walker, mount));
    return put(walker, mount, TEXT(target), 1);
}

/* pivot_root(2) wants its new root to be a mount: put it somewhere we cannot be fooled about. */
int step_root(struct walker *walker, const struct pe_step *step)
{
    TRY(SYS(move_mount, walker->at, "", AT_FDCWD, TEXT(target), MOVE_MOUNT_F_EMPTY_PATH));
    close_fd(&walker->root);
    walker->root = walker->at;
    walker->at = -1;
    return 0;
}

int step_mkdir(struct walker *walker, const struct pe_step *step)
{
    int made = (int)SYS(mkdirat, walker->at, TEXT(target), step->flags);

    return made == -EEXIST ? 0 : made;
}

int step_mknod(struct walker *walker, const struct pe_step *step)
{
    return (int)SYS(mknodat, walker->at, TEXT(target), step->flags >> 32, step->flags & 0xffffffff);
}

/* What nobody without rights can make is brought in, to where only we have written yet. */
int step_device(struct walker *walker, const struct pe_step *step)
{
    struct mount_attr attr = {.attr_set = step->flags, .propagation = MS_PRIVATE};
    OWNED_FD mount = (int)TRY(SYS(open_tree, AT_FDCWD, TEXT(source), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));

    TRY(SYS(mount_setattr, mount, "", AT_EMPTY_PATH, &attr, sizeof attr));
    TRY(SYS(mknodat, walker->at, TEXT(target), REGULAR | 0644, 0));
    return (int)SYS(move_mount, mount, "", walker->at, TEXT(target), MOVE_MOUNT_F_EMPTY_PATH);
}

int step_symlink(struct walker *walker, const struct pe_step *step)
{
    return (int)SYS(symlinkat, TEXT(source), walker->at, TEXT(target));
}

int step_write(struct walker *walker, const struct pe_step *step)
{
    OWNED_FD file = (int)TRY(
        SYS(openat, walker->at, TEXT(target), O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0644));
    long n = TRY(SYS(write, file, TEXT(data), step->flags));

    return (uint64_t)n == step->flags ? 0 : -ENOSPC;
}

/* The mask must be the null device itself: a container that can swap it for a
 * link gets /proc's secrets instead of having them hidden (CVE-2025-31133). */
int step_null(struct walker *walker, const struct pe_step *step)
{
    unsigned how = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW;

    close_fd(&walker->null);
    walker->null = (int)TRY(step->source ? SYS(open_tree, AT_FDCWD, TEXT(source), how)
                                         : clone_at(walker, walker->at, TEXT(target)));
    return TRY(is_device(walker->null, 1, 3)) ? 0 : -ENODEV;
}

/* The null device that masks what has to be hidden; it lies in no mount namespace. */
static int open_null(const struct walker *walker)
{
    char name[FD_NAME];

    name_fd(walker->null, name);
    OWNED_FD null = (int)TRY(SYS(openat, AT_FDCWD, name, O_RDWR | O_NOCTTY | O_CLOEXEC));
    return (int)TRY(SYS(dup3, null, 0, 0));
}

/* A program without input reads its own null device: the host's would be an fd of the host inside.  One who
 * joins finds what the container has made of /dev/null: if that is something else, input is an empty pipe. */
int step_null_stdin(struct walker *walker, const struct pe_step *step)
{
    if (step->flags)
        return open_null(walker);
    OWNED_FD root = (int)TRY(SYS(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    struct open_how how = {
        .flags = O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
        .resolve = walker->at >= 0 ? RESOLVE_BENEATH : RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    OWNED_FD null = open_patiently(walker->at >= 0 ? walker->at : root,
                                   walker->at >= 0 ? TEXT(target) : "/dev/null", &how);

    if (null < 0 || is_device(null, 1, 3) != 1)
        return 0;
    TRY(SYS(fcntl, null, F_SETFL, O_RDWR));
    return (int)TRY(SYS(dup3, null, 0, 0));
}

static int empty_directory(struct walker *walker)
{
    if (walker->empty < 0)
        walker->empty = (int)TRY(make_mount("tmpfs", "ro\0size=0\0", MOUNT_ATTR_RDONLY));
    return walker->empty;
}

int step_mask(struct walker *walker, const struct pe_step *step)
{
    int found = resolve(walker->root, TEXT(target), 0);

    if (found == -ENOENT || found == -ENOTDIR)
        return 0; /* this kernel, or this image, has no such path */
    OWNED_FD place = (int)TRY(found);
    int cover = (int)TRY(is_directory(place)) ? (int)TRY(empty_directory(walker)) : walker->null;
    OWNED_FD mount = (int)SYS(open_tree, cover, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (mount != -EINVAL)
        TRY(mount);
    else /* before Linux 6.15: it is nowhere yet; put there itself, it can be cloned for the next */
        mount = (int)TRY(SYS(fcntl, cover, F_DUPFD_CLOEXEC, ABOVE_REPORT));
    return mount_on(walker, mount, place);
}

int step_readonly(struct walker *walker, const struct pe_step *step)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    int found = resolve(walker->root, TEXT(target), 0);

    if (found == -ENOENT || found == -ENOTDIR)
        return 0;
    OWNED_FD place = (int)TRY(found);
    OWNED_FD mount = (int)TRY(
        SYS(open_tree, place, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE));
    TRY(SYS(mount_setattr, mount, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr));
    return mount_on(walker, mount, place);
}

/* The container's own /dev/pts/ptmx: in `at` while it is being built, below the root afterwards. */
static int open_ptmx(const struct walker *walker)
{
    uint64_t place[16]; /* struct statfs, whose first member is the magic number */
    struct open_how how = {
        .flags = O_RDWR | O_NOCTTY | O_CLOEXEC,
        .resolve = walker->at >= 0 ? RESOLVE_BENEATH : RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    const char *path = walker->at >= 0 ? "ptmx" : "/dev/pts/ptmx";
    OWNED_FD root = (int)TRY(SYS(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    int master = (int)TRY(open_patiently(walker->at >= 0 ? walker->at : root, path, &how));

    if (SYS(fstatfs, master, place) < 0 || place[0] != DEVPTS_SUPER_MAGIC) {
        SYS(close, master);
        return -ENODEV; /* the container has put something else there */
    }
    return master;
}

/* A terminal in the container's devpts.  The master goes to the engine and
 * never stays inside; the slave becomes fds 0 to 2 and the console. */
int step_tty(struct walker *walker, const struct pe_step *step)
{
    struct winsize size = {.ws_row = step->flags >> 16 & 0xffff, .ws_col = step->flags & 0xffff};
    int unlocked = 0;
    OWNED_FD master = (int)TRY(open_ptmx(walker));

    TRY(SYS(ioctl, master, TIOCSPTLCK, &unlocked));
    OWNED_FD slave = (int)TRY(SYS(ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
    TRY(SYS(ioctl, slave, TIOCSWINSZ, &size));
    for (int fd = 0; fd < 3; fd++)
        TRY(SYS(dup3, slave, fd, 0));
    TRY(say(walker->report, &(struct pe_said){.word = PE_TERMINAL, .fd = master}));
    if (!step->target)
        return 0;
    OWNED_FD mount = (int)TRY(clone_at(walker, slave, ""));
    OWNED_FD place = (int)TRY(resolve_or_make(walker->root, TEXT(target), 0));
    return mount_on(walker, mount, place);
}

int step_pivot(struct walker *walker, const struct pe_step *step)
{
    (void)step;
    TRY(SYS(fchdir, walker->root));
    TRY(SYS(pivot_root, ".", ".")); /* stacks both roots on "/": pivot_root(2) */
    TRY(SYS(umount2, ".", DETACH));
    return (int)SYS(chdir, "/");
}

int step_readonly_root(struct walker *walker, const struct pe_step *step)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

    if (!step->target)
        return (int)SYS(mount_setattr, walker->root, "", AT_EMPTY_PATH, &attr, sizeof attr);
    OWNED_FD place = (int)TRY(resolve(walker->root, TEXT(target), 0));
    return (int)SYS(mount_setattr, place, "", AT_EMPTY_PATH, &attr, sizeof attr);
}

/* Write below a procfs that we mounted ourselves: nothing can have been put in its place, nor into it: a
 * mount on the way is an error (CVE-2019-16884, CVE-2025-52881). */
static int write_proc(int proc, const char *directory, const char *path, const char *data, size_t size)
{
    const uint64_t inside = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
    struct open_how place = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = inside};
    struct open_how writing = {.flags = O_WRONLY | O_CLOEXEC, .resolve = inside};
    OWNED_FD top = (int)TRY(open_patiently(proc, directory, &place));
    OWNED_FD file = (int)TRY(open_patiently(top, path, &writing));
    long n = TRY(SYS(write, file, data, size));

    return (size_t)n == size ? 0 : -EIO;
}

int step_sysctl(struct walker *walker, const struct pe_step *step)
{
    return write_proc(walker->proc, "sys", TEXT(target), TEXT(data), step->flags);
}

int step_proc_write(struct walker *walker, const struct pe_step *step)
{
    uint64_t place[16]; /* struct statfs, whose first member is the magic number */

    if (walker->proc >= 0)
        return write_proc(walker->proc, "self", TEXT(target), TEXT(data), step->flags);
    /* still in the host's root: on the way into a container that runs */
    OWNED_FD host = (int)TRY(SYS(openat, AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
    TRY(SYS(fstatfs, host, place));
    if (place[0] != PROC_SUPER_MAGIC)
        return -EXDEV;
    return write_proc(host, "self", TEXT(target), TEXT(data), step->flags);
}

int step_remove(struct walker *walker, const struct pe_step *step)
{
    long room = TRY(
        SYS(mmap, NULL, sizeof(struct sweep), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    int removed = remove_tree(walker->fds[step->fd], TEXT(target), (struct sweep *)room);

    SYS(munmap, room, sizeof(struct sweep));
    return removed == -ENOENT ? 0 : removed;
}

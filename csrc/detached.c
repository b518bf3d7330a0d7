/* Mounts for the host program: they are nowhere in its mount namespace, and vanish with their fd. */
#include "spawner.h"
#include <stdlib.h>
#include <linux/sched.h>

int pe_empty_mount(void)
{
    return make_mount("tmpfs", "ro\0size=0\0", MOUNT_ATTR_RDONLY);
}

int pe_open_tree(int dirfd, const char *path, unsigned flags)
{
    return (int)SYS(open_tree, dirfd, path, flags);
}

int pe_map_ids(int mount, int users, int recursive)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)users};

    return (int)SYS(mount_setattr, mount, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr,
                    sizeof attr);
}

struct layering {
    const char *lowers;
    int below;
    const char *upper;
    const char *work;
    uint64_t flags;
};

static int put_somewhere(int mount)
{
    return (int)SYS(move_mount, mount, "", AT_FDCWD, "/sys", MOVE_MOUNT_F_EMPTY_PATH);
}

/* A layer that is named by fd is a mount that is nowhere; others are where they are. */
static int is_nowhere(const char *lower)
{
    for (const char *named = "/proc/self/fd/"; *named; named++, lower++)
        if (*named != *lower)
            return 0;
    return 1;
}

static int overlay_elsewhere(const struct layering *wish)
{
    TRY(SYS(mount, NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
    for (const char *lower = wish->lowers; *lower; lower += length(lower) + 1) {
        if (!is_nowhere(lower))
            continue;
        OWNED_FD layer = (int)TRY(SYS(openat, AT_FDCWD, lower, O_PATH | O_DIRECTORY | O_CLOEXEC));
        TRY(put_somewhere(layer));
    }
    if (wish->below >= 0)
        TRY(put_somewhere(wish->below));
    return make_overlay(wish->lowers, wish->below, wish->upper, wish->work, wish->flags);
}

/* On a spawner thread, for a while in a mount namespace of its own. */
static int overlay_on_thread(void *arg, char *stack_top)
{
    OWNED_FD home = (int)TRY(SYS(openat, AT_FDCWD, "/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC));
    OWNED_FD root = (int)TRY(SYS(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC));

    (void)stack_top;
    TRY(SYS(unshare, CLONE_NEWNS));
    int made = overlay_elsewhere(arg);
    TRY(SYS(setns, home, CLONE_NEWNS)); /* which also changes its root, to that of the namespace */
    TRY(SYS(fchdir, root));
    TRY(SYS(chroot, "."));
    return made;
}

/* Whether a mount that is nowhere can be cloned, and so be a layer: since Linux 6.15.  That is tried before,
 * for an overlay that fails leaves its work directory unfit for the next. */
static int can_stay_nowhere(const char *lowers)
{
    static int known;
    unsigned how = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;

    if (known)
        return known > 0;
    for (const char *lower = lowers; *lower; lower += length(lower) + 1)
        if (is_nowhere(lower)) {
            OWNED_FD clone = (int)SYS(open_tree, AT_FDCWD, lower, how);
            known = clone == -EINVAL ? -1 : 1;
            return known > 0;
        }
    return 1;
}

/* Where it cannot, it is put somewhere that only we see. */
int pe_overlay(const char *lowers, int below, const char *upper, const char *work, uint64_t flags)
{
    struct layering wish = {.lowers = lowers, .below = below, .upper = upper, .work = work, .flags = flags};
    int made = can_stay_nowhere(lowers) ? make_overlay(lowers, below, upper, work, flags) : -EINVAL;

    return made == -EINVAL ? on_spawner(overlay_on_thread, &wish) : made;
}

struct pe_overlaying {
    struct job job;
    struct layering wish;
};

static int overlay_job(void *arg, char *stack_top)
{
    const struct layering *wish = arg;
    int made = can_stay_nowhere(wish->lowers)
                   ? make_overlay(wish->lowers, wish->below, wish->upper, wish->work, wish->flags)
                   : -EINVAL;

    return made == -EINVAL ? overlay_on_thread(arg, stack_top) : made;
}

int pe_begin_overlay(const char *lowers, int below, const char *upper, const char *work, uint64_t flags,
                     struct pe_overlaying **overlaying)
{
    struct pe_overlaying *begun = malloc(sizeof *begun);

    if (!begun)
        return -ENOMEM;
    *begun = (struct pe_overlaying){
        .job = {.work = overlay_job, .arg = &begun->wish},
        .wish = {.lowers = lowers, .below = below, .upper = upper, .work = work, .flags = flags},
    };
    int answer = begin_job(&begun->job);
    if (answer < 0)
        free(begun);
    *overlaying = answer < 0 ? NULL : begun;
    return answer;
}

int pe_end_overlay(struct pe_overlaying *overlaying)
{
    int made = end_job(&overlaying->job);

    free(overlaying);
    return made;
}

/* Killing who lives in a cgroup, and removing it: in either version, as far as the kernel lets us. */
#include "ward.h"
#include <poll.h>
#include <sys/stat.h>
#include <time.h>

enum { DEEPEST = 16, NAMES = 4096 };

void copy_text(char *to, const char *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = from[i];
    to[n] = 0;
}

static int write_in(int directory, const char *name, const char *text)
{
    OWNED_FD file = (int)TRY(SYS(openat, directory, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC));

    return (int)SYS(write, file, text, length(text));
}

int open_directory(int directory, const char *name)
{
    return (int)SYS(openat, directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void kill_listed(int procs)
{
    char text[NAMES];
    long pid = 0;

    for (long n; (n = SYS(read, procs, text, sizeof text)) > 0;)
        for (long i = 0; i < n; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + text[i] - '0';
                continue;
            }
            if (pid > 1)
                SYS(kill, pid, SIGKILL);
            pid = 0;
        }
}

static int kill_each(void *depth, int directory, const struct entry *entry);

/* Where the kernel does not kill all at once: before Linux 5.14, and in version 1. */
static void kill_one_by_one(int cgroup, int depth)
{
    char room[NAMES];
    OWNED_FD procs = (int)SYS(openat, cgroup, "cgroup.procs", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    write_in(cgroup, "freezer.state", "THAWED"); /* who is frozen dies only once it may go on */
    if (procs >= 0)
        kill_listed(procs);
    if (depth < DEEPEST)
        for_each_entry(cgroup, room, sizeof room, kill_each, &depth);
}

static int kill_each(void *depth, int directory, const struct entry *entry)
{
    if (entry->type != TYPE_DIRECTORY)
        return 0;
    OWNED_FD below = open_directory(directory, entry->name);
    if (below >= 0)
        kill_one_by_one(below, *(int *)depth + 1);
    return 0;
}

void kill_cgroup(int tree, const char *path)
{
    OWNED_FD cgroup = open_directory(tree, path);

    if (cgroup >= 0 && write_in(cgroup, "cgroup.kill", "1") < 0)
        kill_one_by_one(cgroup, 0);
}

struct pass {
    int removed;
    char stuck[256];
};

static int remove_one(void *with, int directory, const struct entry *entry)
{
    struct pass *pass = with;

    if (entry->type != TYPE_DIRECTORY)
        return 0;
    if (SYS(unlinkat, directory, entry->name, AT_REMOVEDIR) == 0)
        pass->removed++;
    else if (!pass->stuck[0] && length(entry->name) < sizeof pass->stuck)
        copy_text(pass->stuck, entry->name, length(entry->name));
    return 0;
}

/* One way down: what is empty on it is removed.  How many those were. */
static int remove_once(int tree, const char *path)
{
    char room[NAMES];
    int removed = 0;
    OWNED_FD here = open_directory(tree, path);

    while (here >= 0) {
        struct pass pass = {0};
        if (for_each_entry(here, room, sizeof room, remove_one, &pass) < 0)
            break;
        removed += pass.removed;
        int below = pass.stuck[0] ? open_directory(here, pass.stuck) : -1;
        SYS(close, here);
        here = below;
    }
    return removed;
}

/* Cgroup trees say the one, other file systems the other. */
static int is_busy(int removed)
{
    return removed == -EBUSY || removed == -ENOTEMPTY;
}

static int remove_cgroup(int tree, const char *path)
{
    for (;;) {
        int removed = (int)SYS(unlinkat, tree, path, AT_REMOVEDIR);
        if (!is_busy(removed) || !remove_once(tree, path))
            return removed;
    }
}

int64_t milliseconds_now(void)
{
    struct timespec time = {0};

    SYS(clock_gettime, CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

/* Until something in it changes, but not for long: a version 1 cgroup wakes nobody. */
static void pause_for(int tree, const char *path, long milliseconds)
{
    char text[256];
    struct timespec most = {.tv_nsec = milliseconds * 1000000};
    OWNED_FD cgroup = open_directory(tree, path);
    OWNED_FD events = cgroup < 0 ? -1 : (int)SYS(openat, cgroup, "cgroup.events", O_RDONLY | O_CLOEXEC);
    struct pollfd change = {.fd = events, .events = POLLPRI};

    if (events >= 0)
        SYS(read, events, text, sizeof text); /* what happens from now on wakes us */
    SYS(ppoll, &change, 1, &most, NULL, 0);
}

/* Whether it is still there: somebody in it does not die. */
int end_cgroup(int tree, const char *path, int64_t deadline)
{
    long pause = 1;

    while (is_busy(remove_cgroup(tree, path)) && milliseconds_now() < deadline) {
        kill_cgroup(tree, path);
        pause_for(tree, path, pause);
        pause = pause < 32 ? pause * 2 : 50;
    }
    return is_busy(remove_cgroup(tree, path));
}

/* Users mark with what users may write, which root takes no notice of. */
static int is_marked(const char *cgroup)
{
    const char *mark = SYS(geteuid) == 0 ? "trusted.pyengine" : "user.pyengine";

    return SYS(getxattr, cgroup, mark, NULL, 0) >= 0;
}

/* Remove it, and what is above it, as far as that is empty and marked as ours. */
void remove_marked(int tree, const char *path)
{
    char above[PE_GUARD_TEXT], name[FD_NAME];
    size_t n = length(path);

    copy_text(above, path, n);
    while (n) {
        OWNED_FD cgroup = open_directory(tree, above);
        if (cgroup >= 0) {
            name_fd(cgroup, name);
            if (!is_marked(name) || SYS(unlinkat, tree, above, AT_REMOVEDIR) < 0)
                return;
        }
        while (n && above[n] != '/')
            n--;
        above[n] = 0;
    }
}

/* A container's life as its parent sees it. */
#include "container.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIDS_LIMIT = 4096 };

int64_t stamps[PHASES];

static void make_directories(const struct recipe *recipe, struct container *container, const char *name)
{
    char path[256];

    snprintf(container->home, sizeof container->home, "%s/%s", recipe->directory, name);
    snprintf(container->trash, sizeof container->trash, "%s/trash/%s", recipe->directory, name);
    if (mkdir(container->home, 0700) < 0)
        die(container->home);
    snprintf(path, sizeof path, "%s/upper", container->home);
    if (mkdir(path, 0755) < 0)
        die(path);
    snprintf(path, sizeof path, "%s/work", container->home);
    if (mkdir(path, 0700) < 0)
        die(path);
}

static void limit_pids(const char *cgroup)
{
    char path[256], limit[16];
    int n = snprintf(limit, sizeof limit, "%d", PIDS_LIMIT);

    snprintf(path, sizeof path, "%s/pids.max", cgroup);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (write(file, limit, (size_t)n) != n)
        die(path);
    close(file);
}

/* Gives the v2 cgroup to be born in, or -1; *tasks is the v1 file to write oneself into, or -1. */
static int make_cgroups(const struct recipe *recipe, struct container *container, const char *name,
                        int *tasks)
{
    char path[256];
    int v2 = -1;

    *tasks = -1;
    container->v2[0] = container->pids[0] = 0;
    if (recipe->v2) {
        snprintf(container->v2, sizeof container->v2, "%s/%s", recipe->v2, name);
        if (mkdir(container->v2, 0755) < 0 || (v2 = open(container->v2, O_PATH | O_CLOEXEC)) < 0)
            die(container->v2);
    }
    if (recipe->pids && recipe->v2 && !strcmp(recipe->pids, recipe->v2)) {
        limit_pids(container->v2);
    } else if (recipe->pids) {
        snprintf(container->pids, sizeof container->pids, "%s/%s", recipe->pids, name);
        if (mkdir(container->pids, 0755) < 0)
            die(container->pids);
        limit_pids(container->pids);
        snprintf(path, sizeof path, "%s/tasks", container->pids);
        if ((*tasks = open(path, O_WRONLY | O_CLOEXEC)) < 0)
            die(path);
    }
    return v2;
}

void start(const struct recipe *recipe, struct container *container, const char *name)
{
    const uint64_t namespaces =
        CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP | CLONE_NEWNET;
    struct birth birth = {.recipe = recipe, .home = container->home, .user = getuid(), .group = getgid()};
    int out[2], err[2];

    make_directories(recipe, container, name);
    stamps[DIRECTORIES] = now();
    int cgroup = make_cgroups(recipe, container, name, &birth.tasks);
    stamps[CGROUPS] = now();
    birth.stdio[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (birth.stdio[0] < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        die("make its streams");
    birth.stdio[1] = out[1];
    birth.stdio[2] = err[1];
    container->pid =
        borrow_memory(namespaces | (recipe->rootless ? CLONE_NEWUSER : 0), cgroup, become, &birth);
    if (container->pid < 0)
        die("clone");
    container->out = out[0];
    container->err = err[0];
    int done[] = {birth.stdio[0], out[1], err[1], cgroup, birth.tasks};
    for (size_t i = 0; i < sizeof done / sizeof *done; i++)
        if (done[i] >= 0)
            close(done[i]);
}

int reap(const struct container *container)
{
    int status;

    if (waitpid(container->pid, &status, 0) < 0)
        die("wait");
    close(container->out);
    close(container->err);
    return status;
}

static void remove_cgroup(const char *path)
{
    while (*path && rmdir(path) < 0)
        if (errno != EBUSY)
            die(path);
}

void take_away(const struct container *container)
{
    if (rename(container->home, container->trash) < 0)
        die(container->trash);
    remove_cgroup(container->pids);
    remove_cgroup(container->v2);
}

static int delete_one(const char *path, const struct stat *found, int kind, struct FTW *place)
{
    (void)found, (void)kind, (void)place;
    return remove(path);
}

void delete_tree(const char *path)
{
    nftw(path, delete_one, 16, FTW_DEPTH | FTW_PHYS);
}

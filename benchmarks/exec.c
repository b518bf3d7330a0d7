/* A program in a running container for each line on stdin; answers with nanoseconds.
 *
 * exec OPTIONS [-L LOG] -p PID -- PROGRAM ARGUMENT...   (-2 and -1: the container's own cgroups, to join) */
#define _GNU_SOURCE
#include "container.h"
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct visit {
    const struct recipe *recipe;
    int target; /* pidfd of the container's first process */
    int stdio[3];
    int tasks;
};

static void visit(const void *arg)
{
    static char *environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                  "HOSTNAME=limit", "HOME=/root", NULL};
    const struct visit *visit = arg;

    for (int fd = 0; fd < 3; fd++)
        dup2(visit->stdio[fd], fd);
    if (visit->tasks >= 0 && write(visit->tasks, "0", 1) != 1)
        die("join its pids cgroup");
    if (setns(visit->target, CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP) < 0)
        die("setns");
    setsid();
    if (SYS(keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0) < 0)
        die("join a keyring");
    umask(0022);
    drop_privileges(visit->recipe);
    execve(visit->recipe->argv[0], visit->recipe->argv, environment);
    die(visit->recipe->argv[0]);
}

static int open_or_none(const char *directory, const char *name, int flags)
{
    char path[256];

    if (!directory)
        return -1;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int file = open(path, flags | O_CLOEXEC);
    if (file < 0)
        die(path);
    return file;
}

/* The pid and time namespaces are joined by the parent: the first only works for its children, the second
 * only with memory of one's own, and to clone that would cost more. */
static int run_inside(const struct recipe *recipe, pid_t pid, int log)
{
    struct visit its = {.recipe = recipe};
    int out[2], err[2], status;

    its.target = (int)syscall(SYS_pidfd_open, pid, 0);
    if (its.target < 0 || setns(its.target, CLONE_NEWPID | CLONE_NEWTIME) < 0)
        die("setns pid");
    int cgroup = open_or_none(recipe->v2, ".", O_PATH);
    its.tasks = open_or_none(recipe->pids, "tasks", O_WRONLY);
    its.stdio[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (its.stdio[0] < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        die("make its streams");
    its.stdio[1] = out[1];
    its.stdio[2] = err[1];
    pid_t child = borrow_memory(0, cgroup, visit, &its);
    if (child < 0)
        die("clone");
    close(out[1]);
    close(err[1]);
    drain(out[0], err[0], log);
    if (waitpid(child, &status, 0) < 0)
        die("wait");
    int done[] = {out[0], err[0], its.stdio[0], its.target, cgroup, its.tasks};
    for (size_t i = 0; i < sizeof done / sizeof *done; i++)
        if (done[i] >= 0)
            close(done[i]);
    return status;
}

int main(int argc, char **argv)
{
    struct recipe recipe = {0};
    char line[64];
    pid_t pid = 0;
    int log = -1, option;

    while ((option = getopt(argc, argv, RECIPE_OPTIONS "L:p:")) != -1) {
        if (option == 'p')
            pid = atoi(optarg);
        else if (option == 'L')
            log = open(optarg, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        else if (!read_option(&recipe, option, optarg))
            return 2;
    }
    recipe.argv = argv + optind;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        int64_t began = now();

        if (run_inside(&recipe, pid, log) != 0)
            die("the program failed");
        printf("%lld\n", (long long)(now() - began));
        fflush(stdout);
    }
    return 0;
}

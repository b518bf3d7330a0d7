/* The last thing a child is before it is the container's program.
 *
 * An image may ask to run "#!/proc/self/exe".  Were we still the host's Python
 * at that moment, the kernel would run the host's Python inside the container
 * and hand it the way to the file (CVE-2019-5736).  So we first become this: a
 * few kilobytes, in a sealed memfd, that nobody can do anything with.
 *
 * argv[0] says what to do with the rest: "run" it, or stay below it as "init".
 * Freestanding: no libc.  fd 3 is the report; it is gone if we were run a second time. */
#include "internal.h"
#include "start.h"
#include <sys/ioctl.h>
#include <linux/prctl.h>
#include <linux/wait.h>

static _Noreturn void leave(int code)
{
    for (;;)
        SYS(exit_group, code);
}

static _Noreturn void fail(int error)
{
    struct pe_said said = {.word = PE_FAILED, .step = PE_EXECUTE, .error = -error, .fd = -1};

    SYS(write, REPORT_FD, &said, sizeof said);
    leave(error == -ENOENT ? 127 : 126);
}

static _Noreturn void become(char **argv, char **envp)
{
    fail(run_program(argv, envp));
}

/* Wait for whoever ends; answer with the exit code once it was our child. */
static int reaped(long child)
{
    int status;
    long pid = SYS(wait4, -1, &status, WNOHANG, NULL);

    if (pid <= 0 || pid != child)
        return pid > 0 ? -EAGAIN : -ECHILD;
    return status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
}

/* Be process 1 for a program that was not made to be: reap, and pass signals on. */
static _Noreturn void stay_below(char **argv, char **envp)
{
    uint64_t all = ~0ULL, none = 0;
    int group;

    SYS(rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
    SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0); /* the program must not take the report from us: see below */
    long child = SYS(clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        SYS(setpgid, 0, 0);
        group = (int)SYS(getpid);
        SYS(ioctl, 0, TIOCSPGRP, &group); /* where there is a terminal, it is its program's */
        SYS(rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
        become(argv, envp);
    }
    if (child < 0)
        fail((int)child);
    SYS(close, REPORT_FD);
    SYS(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0); /* as any process 1 that its container may look at */
    for (;;) {
        long sig = SYS(rt_sigtimedwait, &all, NULL, NULL, sizeof all);
        if (sig == SIGCHLD)
            for (int code; (code = reaped(child)) != -ECHILD;) {
                if (code >= 0)
                    leave(code);
            }
        else if (sig > 0)
            SYS(kill, child, sig);
    }
}

__attribute__((used, noreturn)) void begin(long *stack)
{
    long argc = stack[0];
    char **argv = (char **)(stack + 1), **envp = argv + argc + 1;

    if (argc < 2 || SYS(fcntl, REPORT_FD, F_GETFD) < 0)
        leave(126);
    SYS(fcntl, REPORT_FD, F_SETFD, FD_CLOEXEC);
    if (!same(argv[0], "run"))
        stay_below(argv + 1, envp);
    become(argv + 1, envp);
}

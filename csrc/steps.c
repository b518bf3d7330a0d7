/* What a child may do on its way to becoming a container: a plan is walked step
 * by step; the steps here change the process itself.
 *
 * The child was cloned out of a program with other threads, whose locks it
 * inherited half-held, and it may still be using that program's memory.  So
 * everything here is a bare system call: no malloc, no stdio, no errno. */
#include "steps.h"
#include <sys/socket.h>
#include <sys/ioctl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <poll.h>

static int step_unshare(struct walker *walker, const struct pe_step *step)
{
    (void)walker;
    return (int)SYS(unshare, step->flags);
}

static int step_setns(struct walker *walker, const struct pe_step *step)
{
    return (int)SYS(setns, walker->fds[step->fd], step->flags);
}

/* "0" is the writer itself: 30 µs, where naming a pid costs a grace period of 10 ms. */
static int step_cgroup(struct walker *walker, const struct pe_step *step)
{
    return (int)TRY(SYS(write, walker->fds[step->fd], "0", 1)) == 1 ? 0 : -EIO;
}

static int step_slave(struct walker *walker, const struct pe_step *step)
{
    (void)walker, (void)step;
    return (int)SYS(mount, NULL, "/", NULL, MS_REC | MS_SLAVE, NULL);
}

static int step_hostname(struct walker *walker, const struct pe_step *step)
{
    return (int)SYS(sethostname, TEXT(source), length(TEXT(source)));
}

static int step_domainname(struct walker *walker, const struct pe_step *step)
{
    return (int)SYS(setdomainname, TEXT(source), length(TEXT(source)));
}

static int step_loopback(struct walker *walker, const struct pe_step *step)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    OWNED_FD any = (int)TRY(SYS(socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));

    (void)walker, (void)step;
    return (int)SYS(ioctl, any, SIOCSIFFLAGS, &request);
}

static int step_rlimit(struct walker *walker, const struct pe_step *step)
{
    return (int)SYS(prlimit64, 0, step->fd, TEXT(data), NULL);
}

static int step_keyring(struct walker *walker, const struct pe_step *step)
{
    long joined = SYS(keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0);

    (void)walker, (void)step;
    return joined < 0 && joined != -ENOSYS ? (int)joined : 0;
}

/* A working directory outside the root, by way of a leaked fd, gives the host
 * away (CVE-2024-21626): the kernel marks such a path. */
static int step_chdir(struct walker *walker, const struct pe_step *step)
{
    char here[4096];
    OWNED_FD root = (int)TRY(SYS(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    OWNED_FD place =
        (int)TRY(step->flags ? resolve_or_make(root, TEXT(target), 1) : resolve(root, TEXT(target), 0));

    TRY(SYS(fchdir, place));
    TRY(SYS(getcwd, here, sizeof here));
    return here[0] == '/' ? 0 : -EXDEV;
}

static int step_umask(struct walker *walker, const struct pe_step *step)
{
    (void)walker;
    return SYS(umask, step->flags) < 0 ? -EINVAL : 0;
}

static int step_setsid(struct walker *walker, const struct pe_step *step)
{
    (void)walker, (void)step;
    return (int)TRY(SYS(setsid)) > 0 ? 0 : -EPERM;
}

static int step_ctty(struct walker *walker, const struct pe_step *step)
{
    (void)walker, (void)step;
    return (int)SYS(ioctl, 0, TIOCSCTTY, 0);
}

static int step_bound(struct walker *walker, const struct pe_step *step)
{
    (void)walker;
    return drop_bounds(step->flags);
}

static int step_no_new_privs(struct walker *walker, const struct pe_step *step)
{
    (void)walker, (void)step;
    return (int)SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static int step_seccomp(struct walker *walker, const struct pe_step *step)
{
    struct sock_fprog program = {
        .len = (unsigned short)step->fd,
        .filter = (struct sock_filter *)(uintptr_t)TEXT(data),
    };

    return (int)SYS(seccomp, SECCOMP_SET_MODE_FILTER, step->flags, &program);
}

static int step_groups(struct walker *walker, const struct pe_step *step)
{
    return (int)SYS(setgroups, step->flags, TEXT(data));
}

/* Only what is ours to give: a pipe, a socket or a terminal, never a file the caller handed in. */
static int step_own_stdio(struct walker *walker, const struct pe_step *step)
{
    (void)walker;
    for (int fd = step->fd < 0 ? 0 : step->fd; fd < 3; fd++) {
        struct statx found;

        if (SYS(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &found) < 0)
            continue;
        if (IS_PIPE(found.stx_mode) || IS_SOCKET(found.stx_mode) || found.stx_rdev_major == 136)
            TRY(SYS(fchownat, fd, "", step->flags, -1, AT_EMPTY_PATH));
    }
    return 0;
}

static int step_keepcaps(struct walker *walker, const struct pe_step *step)
{
    (void)walker, (void)step;
    return (int)SYS(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
}

/* Raw system calls: the C library's would change every thread of the host program. */
static int step_ids(struct walker *walker, const struct pe_step *step)
{
    uint32_t group = (uint32_t)step->fd, user = (uint32_t)step->flags;

    (void)walker;
    TRY(SYS(setresgid, group, group, group));
    return (int)SYS(setresuid, user, user, user);
}

static int step_caps(struct walker *walker, const struct pe_step *step)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    uint32_t low = (uint32_t)step->flags, high = (uint32_t)(step->flags >> 32);
    struct __user_cap_data_struct data[2] = {
        {.effective = low, .permitted = low},
        {.effective = high, .permitted = high},
    };

    (void)walker;
    SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* before 4.3 there are none */
    return (int)SYS(capset, &header, data);
}

/* A parent that died before we asked will never be told about: look for ourselves. */
static int step_pdeathsig(struct walker *walker, const struct pe_step *step)
{
    struct pollfd owner = {.fd = step->fd < 0 ? walker->report : walker->fds[step->fd], .events = POLLIN};
    struct timespec now = {0};

    TRY(SYS(prctl, PR_SET_PDEATHSIG, step->flags, 0, 0, 0));
    return TRY(SYS(ppoll, &owner, 1, &now, NULL, 0)) ? -ESRCH : 0;
}

static int step_socket(struct walker *walker, const struct pe_step *step)
{
    OWNED_FD made = (int)TRY(SYS(socket, step->flags, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

    return say(walker->report, &(struct pe_said){.word = PE_TERMINAL, .fd = made}) < 0 ? -EPIPE : 0;
}

static int step_enter(struct walker *walker, const struct pe_step *step)
{
    (void)step;
    return walker->enter ? walker->enter(walker) : -ENOSYS;
}

static step_function *const functions[] = {
    [PE_UNSHARE] = step_unshare,
    [PE_SETNS] = step_setns,
    [PE_CGROUP] = step_cgroup,
    [PE_SLAVE] = step_slave,
    [PE_OVERLAY] = step_overlay,
    [PE_MOUNT] = step_mount,
    [PE_BIND] = step_bind,
    [PE_BIND_AT] = step_bind_at,
    [PE_BORROW] = step_borrow,
    [PE_ROOT] = step_root,
    [PE_MKDIR] = step_mkdir,
    [PE_MKNOD] = step_mknod,
    [PE_DEVICE] = step_device,
    [PE_SYMLINK] = step_symlink,
    [PE_WRITE] = step_write,
    [PE_NULL] = step_null,
    [PE_MASK] = step_mask,
    [PE_READONLY] = step_readonly,
    [PE_TTY] = step_tty,
    [PE_PIVOT] = step_pivot,
    [PE_READONLY_ROOT] = step_readonly_root,
    [PE_SYSCTL] = step_sysctl,
    [PE_PROC_WRITE] = step_proc_write,
    [PE_HOSTNAME] = step_hostname,
    [PE_DOMAINNAME] = step_domainname,
    [PE_LOOPBACK] = step_loopback,
    [PE_RLIMIT] = step_rlimit,
    [PE_KEYRING] = step_keyring,
    [PE_CHDIR] = step_chdir,
    [PE_UMASK] = step_umask,
    [PE_SETSID] = step_setsid,
    [PE_BOUND] = step_bound,
    [PE_NO_NEW_PRIVS] = step_no_new_privs,
    [PE_SECCOMP] = step_seccomp,
    [PE_GROUPS] = step_groups,
    [PE_OWN_STDIO] = step_own_stdio,
    [PE_KEEPCAPS] = step_keepcaps,
    [PE_IDS] = step_ids,
    [PE_CAPS] = step_caps,
    [PE_PDEATHSIG] = step_pdeathsig,
    [PE_NULL_STDIN] = step_null_stdin,
    [PE_CTTY] = step_ctty,
    [PE_ENTER] = step_enter,
    [PE_REMOVE] = step_remove,
    [PE_SOCKET] = step_socket,
};

struct walker new_walker(const char *plan, const int *fds, int report)
{
    return (struct walker){.plan = plan,
                           .fds = fds,
                           .root = -1,
                           .at = -1,
                           .proc = -1,
                           .null = -1,
                           .empty = -1,
                           .report = report};
}

/* Walk the whole plan: 0, or -errno of *failed_step.  What is left open is close-on-exec. */
int walk(struct walker *walker, int *failed_step)
{
    const struct pe_plan *plan = (const struct pe_plan *)(const void *)walker->plan;
    const struct pe_step *steps = (const struct pe_step *)(const void *)(walker->plan + plan->steps);

    for (*failed_step = 0; *failed_step < (int)plan->n_steps; ++*failed_step) {
        const struct pe_step *step = &steps[*failed_step];

        if (step->op >= sizeof functions / sizeof *functions || !functions[step->op])
            return -ENOSYS;
        TRY(functions[step->op](walker, step));
    }
    return 0;
}

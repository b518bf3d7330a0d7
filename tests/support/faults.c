/* Runs a program so that somebody else decides about each of its calls that changes the world.
 *
 *     faults FD PROGRAM ARGUMENT...
 *
 * A filter asks its listener before every such call of the program and of all its children
 * (seccomp_unotify(2)).  Over the socket FD the listener's number is told before the program begins, and an
 * answer awaited. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* What changes a disk, a kernel object or somebody else, whatever its arguments are. */
static const int changes[] = {
#ifdef __NR_mkdir
    __NR_mkdir,   __NR_rmdir,    __NR_rename,    __NR_link,    __NR_unlink,    __NR_symlink,
    __NR_chmod,   __NR_mknod,
#endif
    __NR_mkdirat, __NR_renameat, __NR_renameat2, __NR_linkat,  __NR_unlinkat,  __NR_symlinkat,
    __NR_fchmod,  __NR_fchmodat, __NR_fchownat,  __NR_mknodat, __NR_ftruncate, __NR_truncate,
    __NR_write,   __NR_pwrite64, __NR_writev,    __NR_sendmsg, __NR_kill,      __NR_pidfd_send_signal,
};

/* What does so if it may create. */
static const struct {
    int number, flags;
} opens[] = {
#ifdef __NR_open
    {__NR_open, 1},
#endif
    {__NR_openat, 2},
};

static struct sock_filter program[256];
static unsigned short length;

static void add(struct sock_filter instruction)
{
    program[length++] = instruction;
}

static void write_filter(void)
{
    add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)));
#ifdef __x86_64__
    add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
#else
    add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_AARCH64, 1, 0));
#endif
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)changes[i], 0, 1));
        add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
    }
    for (size_t i = 0; i < sizeof opens / sizeof *opens; i++) {
        unsigned offset = (unsigned)(offsetof(struct seccomp_data, args) + 8 * (size_t)opens[i].flags);

        add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)opens[i].number, 0, 4));
        add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
        add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_CREAT | O_TRUNC, 0, 1));
        add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
        add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    }
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

int main(int argc, char **argv)
{
    struct sock_fprog filter = {.filter = program};
    int engine = argc > 2 ? atoi(argv[1]) : -1;
    unsigned flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;

    if (engine < 0)
        return 2;
    write_filter();
    filter.len = length;
    int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
    if (listener < 0)
        return 3;
    /* who listens takes the listener himself (pidfd_getfd(2)): sendmsg(2) would wait for him */
    if (send(engine, &listener, sizeof listener, 0) < 0 || recv(engine, &listener, sizeof listener, 0) <= 0)
        return 4;
    close(engine);
    execv(argv[2], argv + 2);
    return 127;
}

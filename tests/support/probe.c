/* What a program sees from inside a container, as one JSON object on standard output.
 *
 *     probe [PATH...]        looks at PATHs too, besides those Docker masks or makes read-only
 *
 * It is static, changes nothing, and needs nothing of its root but /proc.  A text holds each byte as the
 * character of that number, so nothing is lost; numbers that do not exist are null, failures are -errno.
 *
 *   capabilities   effective permitted inheritable bounding ambient: masks in hex, as texts; securebits
 *   ids            uid, gid: [real, effective, saved, file system]; groups; uid_map, gid_map: lines
 *   seccomp        mode: as PR_GET_SECCOMP tells it
 *                  machine: "x86_64" or "aarch64", whose numbers these are
 *                  verdicts: one number for each system call from 0 on, called with zeros: 0 it may run,
 *                      > 0 it is answered with this errno, -1 it kills, -2 it raises SIGSYS
 *                  calls: the same for calls by name, as "socket(AF_ALG)", whose arguments decide
 *                  null where the filter cannot be asked (it refuses ptrace or prctl)
 *   no_new_privs dumpable pid ppid pgid sid umask personality oom_score_adj   numbers
 *   rlimits        name: [soft, hard]; -1 is unlimited
 *   signals        blocked, ignored: lists of numbers
 *   environment arguments   lists of texts
 *   fds            list of {fd, link, flags} of 0 to 1024
 *   mounts         lines of mountinfo
 *   namespaces     name: link
 *   status         lines of /proc/self/status
 *   cgroup         lines of /proc/self/cgroup
 *   paths          path: {type, mode, rdev, read, entries, write}: type is d f c b l p s or null;
 *                  rdev "major:minor"; read: how many bytes come first, at most 4096; entries: how many
 *                  a directory has; write: 0 if it may be written to
 *   dev            list of {name, type, mode, uid, gid, rdev, link} of what is below /dev, sorted
 *   init           exe: where /proc/1/exe leads; size: of the file, if it may be opened
 *   session_keyring   its number
 *   hostname domainname cwd tty   texts
 *   loopback       whether "lo" is up; links: names of network interfaces
 *
 * How the filter is asked: the probe forks a child that adds a second filter which wants a tracer for
 * everything.  What the first filter allows comes to the tracer, which is us, and we say "skip it": so no
 * call is ever made, however dangerous.  What it does not allow never comes to us (seccomp(2)). */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <elf.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/utsname.h>
#include <sys/wait.h>

enum { LAST_CALL = 480, LAST_FD = 1024, MOST_ENTRIES = 4096 };

/* --- JSON --- */

static int first = 1;

static void text(const char *bytes)
{
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)bytes; *c; c++)
        if (*c < ' ' || *c == '"' || *c == '\\' || *c > '~')
            printf("\\u%04x", *c);
        else
            putchar(*c);
    putchar('"');
}

static void comma(void)
{
    if (!first)
        putchar(',');
    first = 0;
}

static void key(const char *name)
{
    comma();
    text(name);
    putchar(':');
}

static void begin(char bracket)
{
    putchar(bracket);
    first = 1;
}

static void end(char bracket)
{
    putchar(bracket);
    first = 0;
}

static void number(const char *name, long value)
{
    key(name);
    printf("%ld", value);
}

static void word(const char *name, const char *value)
{
    key(name);
    value ? text(value) : (void)printf("null");
}

/* --- files --- */

static void lines(const char *name, const char *path)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    ssize_t n;

    key(name);
    if (!file) {
        printf("null");
        return;
    }
    begin('[');
    while ((n = getline(&line, &room, file)) > 0) {
        line[n - (line[n - 1] == '\n')] = 0;
        comma();
        text(line);
    }
    end(']');
    free(line);
    fclose(file);
}

static long number_in(const char *path)
{
    FILE *file = fopen(path, "re");
    long value = -ENOENT;

    if (file) {
        if (fscanf(file, "%ld", &value) != 1)
            value = -EIO;
        fclose(file);
    }
    return value;
}

static void link_of(const char *name, const char *path)
{
    char where[4096];
    ssize_t n = readlink(path, where, sizeof where - 1);

    if (n >= 0)
        where[n] = 0;
    word(name, n < 0 ? NULL : where);
}

static const char *type_of(mode_t mode)
{
    static const struct {
        mode_t mode;
        const char *word;
    } types[] = {{S_IFDIR, "d"}, {S_IFREG, "f"}, {S_IFCHR, "c"}, {S_IFBLK, "b"},
                 {S_IFLNK, "l"}, {S_IFIFO, "p"}, {S_IFSOCK, "s"}};

    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if ((mode & S_IFMT) == types[i].mode)
            return types[i].word;
    return "?";
}

static void rdev(const struct stat *found)
{
    char numbers[32];

    snprintf(numbers, sizeof numbers, "%u:%u", major(found->st_rdev), minor(found->st_rdev));
    word("rdev", S_ISCHR(found->st_mode) || S_ISBLK(found->st_mode) ? numbers : NULL);
}

static long entries_of(const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    long n = 0;

    if (!directory)
        return -errno;
    while ((entry = readdir(directory)))
        n += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
    closedir(directory);
    return n;
}

static long bytes_of(const char *path)
{
    char buffer[4096];
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return -errno;
    n = read(fd, buffer, sizeof buffer);
    long answer = n < 0 ? -errno : n;
    close(fd);
    return answer;
}

static void path(const char *name)
{
    struct stat found;

    key(name);
    begin('{');
    if (stat(name, &found) < 0) {
        word("type", NULL);
        number("error", -errno);
    } else {
        word("type", type_of(found.st_mode));
        number("mode", found.st_mode & 07777);
        rdev(&found);
        if (S_ISDIR(found.st_mode))
            number("entries", entries_of(name));
        else
            number("read", bytes_of(name));
        number("write", faccessat(AT_FDCWD, name, W_OK, AT_EACCESS) < 0 ? -errno : 0);
    }
    end('}');
}

static void paths(char **more)
{
    static const char *const known[] = {
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
        "/proc/bus",
        "/proc/fs",
        "/proc/irq",
        "/proc/sys",
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/sys",
        "/sys/kernel/uevent_helper",
        "/sys/fs/cgroup",
        "/proc/self/attr",
        "/proc/mem",
        "/dev/mem",
        "/dev/kmsg",
        "/etc/hosts",
        "/etc/hostname",
        "/etc/resolv.conf",
        "/",
        "/dev",
        "/dev/shm",
        "/dev/pts",
        "/dev/mqueue",
        "/dev/null",
        "/proc/1/environ",
    };

    key("paths");
    begin('{');
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        path(known[i]);
    for (; *more; more++)
        path(*more);
    end('}');
}

/* --- /dev --- */

static void device(const char *name)
{
    char whole[600];
    struct stat found;

    snprintf(whole, sizeof whole, "/dev/%s", name);
    if (lstat(whole, &found) < 0)
        return;
    comma();
    begin('{');
    word("name", name);
    word("type", type_of(found.st_mode));
    number("mode", found.st_mode & 07777);
    number("uid", found.st_uid);
    number("gid", found.st_gid);
    rdev(&found);
    link_of("link", whole);
    end('}');
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t names_below(char **names, size_t n, const char *directory, const char *prefix)
{
    DIR *opened = opendir(directory);
    const struct dirent *entry;

    while (opened && (entry = readdir(opened)) && n < MOST_ENTRIES)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            n += asprintf(&names[n], "%s%s", prefix, entry->d_name) >= 0;
    if (opened)
        closedir(opened);
    return n;
}

static void devices(void)
{
    static char *names[MOST_ENTRIES];
    size_t n = names_below(names, 0, "/dev", "");

    n = names_below(names, n, "/dev/pts", "pts/");
    n = names_below(names, n, "/dev/shm", "shm/");
    qsort(names, n, sizeof *names, by_name);
    key("dev");
    begin('[');
    for (size_t i = 0; i < n; i++)
        device(names[i]);
    end(']');
}

/* --- the process --- */

static void capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    uint64_t bounding = 0, ambient = 0;
    char hex[24];

    syscall(SYS_capget, &header, data);
    for (int n = 0; n < 64; n++) {
        bounding |= (uint64_t)(prctl(PR_CAPBSET_READ, n) == 1) << n;
        ambient |= (uint64_t)(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, n, 0, 0) == 1) << n;
    }
    const struct {
        const char *name;
        uint64_t mask;
    } sets[] = {
        {"effective", (uint64_t)data[1].effective << 32 | data[0].effective},
        {"permitted", (uint64_t)data[1].permitted << 32 | data[0].permitted},
        {"inheritable", (uint64_t)data[1].inheritable << 32 | data[0].inheritable},
        {"bounding", bounding},
        {"ambient", ambient},
    };

    key("capabilities");
    begin('{');
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        snprintf(hex, sizeof hex, "%llx", (unsigned long long)sets[i].mask);
        word(sets[i].name, hex);
    }
    number("securebits", prctl(PR_GET_SECUREBITS));
    end('}');
}

static void four(const char *name, unsigned a, unsigned b, unsigned c, unsigned d)
{
    key(name);
    printf("[%u,%u,%u,%u]", a, b, c, d);
}

static void ids(void)
{
    static gid_t groups[65536];
    uid_t ruid, euid, suid;
    gid_t rgid, egid, sgid;
    int n = getgroups(65536, groups);

    getresuid(&ruid, &euid, &suid);
    getresgid(&rgid, &egid, &sgid);
    key("ids");
    begin('{');
    four("uid", ruid, euid, suid, (unsigned)syscall(SYS_setfsuid, -1));
    four("gid", rgid, egid, sgid, (unsigned)syscall(SYS_setfsgid, -1));
    key("groups");
    begin('[');
    for (int i = 0; i < n; i++) {
        comma();
        printf("%u", groups[i]);
    }
    end(']');
    lines("uid_map", "/proc/self/uid_map");
    lines("gid_map", "/proc/self/gid_map");
    end('}');
}

static void rlimits(void)
{
    static const char *const names[] = {"cpu",      "fsize",  "data",    "stack", "core",  "rss",
                                        "nproc",    "nofile", "memlock", "as",    "locks", "sigpending",
                                        "msgqueue", "nice",   "rtprio",  "rttime"};

    key("rlimits");
    begin('{');
    for (int i = 0; i < 16; i++) {
        struct rlimit limit = {0};
        getrlimit((__rlimit_resource_t)i, &limit);
        key(names[i]);
        printf("[%lld,%lld]", (long long)limit.rlim_cur, (long long)limit.rlim_max);
    }
    end('}');
}

static void signals(void)
{
    sigset_t mask;
    struct sigaction action;

    key("signals");
    begin('{');
    sigprocmask(SIG_BLOCK, NULL, &mask);
    key("blocked");
    begin('[');
    for (int sig = 1; sig <= 64; sig++)
        if (sigismember(&mask, sig) == 1) {
            comma();
            printf("%d", sig);
        }
    end(']');
    key("ignored");
    begin('[');
    for (int sig = 1; sig <= 64; sig++)
        if (sigaction(sig, NULL, &action) == 0 && action.sa_handler == SIG_IGN) {
            comma();
            printf("%d", sig);
        }
    end(']');
    end('}');
}

static void texts(const char *name, char **list)
{
    key(name);
    begin('[');
    for (; *list; list++) {
        comma();
        text(*list);
    }
    end(']');
}

static void fds(void)
{
    char name[64];

    key("fds");
    begin('[');
    for (int fd = 0; fd <= LAST_FD; fd++) {
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0)
            continue;
        comma();
        begin('{');
        number("fd", fd);
        number("flags", flags);
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        link_of("link", name);
        end('}');
    }
    end(']');
}

static void namespaces(void)
{
    static const char *const names[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
    char name[64];

    key("namespaces");
    begin('{');
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(name, sizeof name, "/proc/self/ns/%s", names[i]);
        link_of(names[i], name);
    }
    end('}');
}

static void init(void)
{
    struct stat found;
    int fd = open("/proc/1/exe", O_RDONLY | O_CLOEXEC);

    key("init");
    begin('{');
    link_of("exe", "/proc/1/exe");
    number("size", fd < 0 ? -errno : fstat(fd, &found) < 0 ? -errno : (long)found.st_size);
    end('}');
    if (fd >= 0)
        close(fd);
}

static void network(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct if_nameindex *links = if_nameindex();

    number("loopback", any >= 0 && ioctl(any, SIOCGIFFLAGS, &request) == 0 && request.ifr_flags & IFF_UP);
    key("links");
    begin('[');
    for (const struct if_nameindex *link = links; link && link->if_name; link++) {
        comma();
        text(link->if_name);
    }
    end(']');
    if (links)
        if_freenameindex(links);
    if (any >= 0)
        close(any);
}

/* --- seccomp --- */

#if defined(__x86_64__)
#define MACHINE "x86_64"
static void skip(pid_t child)
{
    struct user_regs_struct registers;

    ptrace(PTRACE_GETREGS, child, NULL, &registers);
    registers.orig_rax = (unsigned long long)-1;
    registers.rax = 0;
    ptrace(PTRACE_SETREGS, child, NULL, &registers);
}
#elif defined(__aarch64__)
#define MACHINE "aarch64"
static void skip(pid_t child)
{
    struct user_regs_struct registers;
    int none = -1;
    struct iovec all = {&registers, sizeof registers}, call = {&none, sizeof none};

    ptrace(PTRACE_GETREGSET, child, (void *)NT_PRSTATUS, &all);
    registers.regs[0] = 0;
    ptrace(PTRACE_SETREGSET, child, (void *)NT_PRSTATUS, &all);
    ptrace(PTRACE_SETREGSET, child, (void *)NT_ARM_SYSTEM_CALL, &call);
}
#endif

struct call {
    const char *name; /* NULL: its number */
    long number;
    long argument[3];
    int old; /* through int $0x80 */
};

static const struct call calls[] = {
    {"socket(AF_UNIX)", SYS_socket, {AF_UNIX, 1, 0}, 0},
    {"socket(AF_INET)", SYS_socket, {AF_INET, 1, 0}, 0},
    {"socket(AF_NETLINK)", SYS_socket, {AF_NETLINK, 3, 0}, 0},
    {"socket(AF_PACKET)", SYS_socket, {AF_PACKET, 3, 0}, 0},
    {"socket(AF_ALG)", SYS_socket, {AF_ALG, 5, 0}, 0},
    {"socket(AF_ALG|1<<32)", SYS_socket, {AF_ALG | 1L << 32, 5, 0}, 0},
    {"socket(AF_VSOCK)", SYS_socket, {AF_VSOCK, 1, 0}, 0},
    {"socket(AF_VSOCK|1<<32)", SYS_socket, {AF_VSOCK | 1L << 32, 1, 0}, 0},
    {"clone(SIGCHLD)", SYS_clone, {SIGCHLD, 0, 0}, 0},
    {"clone(CLONE_NEWNS)", SYS_clone, {0x00020000, 0, 0}, 0},
    {"clone(CLONE_NEWCGROUP)", SYS_clone, {0x02000000, 0, 0}, 0},
    {"clone(CLONE_NEWUTS)", SYS_clone, {0x04000000, 0, 0}, 0},
    {"clone(CLONE_NEWIPC)", SYS_clone, {0x08000000, 0, 0}, 0},
    {"clone(CLONE_NEWUSER)", SYS_clone, {0x10000000, 0, 0}, 0},
    {"clone(CLONE_NEWPID)", SYS_clone, {0x20000000, 0, 0}, 0},
    {"clone(CLONE_NEWNET)", SYS_clone, {0x40000000, 0, 0}, 0},
    {"personality(0)", SYS_personality, {0, 0, 0}, 0},
    {"personality(8)", SYS_personality, {8, 0, 0}, 0},
    {"personality(0x20000)", SYS_personality, {0x20000, 0, 0}, 0},
    {"personality(0x20008)", SYS_personality, {0x20008, 0, 0}, 0},
    {"personality(0xffffffff)", SYS_personality, {0xffffffff, 0, 0}, 0},
    {"personality(ADDR_NO_RANDOMIZE)", SYS_personality, {ADDR_NO_RANDOMIZE, 0, 0}, 0},
#if defined(__x86_64__)
    {"x32 getpid", SYS_getpid | 0x40000000, {0, 0, 0}, 0},
    {"x32 io_uring_setup", 425 | 0x40000000, {0, 0, 0}, 0},
    {"i386 getpid", 20, {0, 0, 0}, 1},
    {"i386 socketcall", 102, {1, 0, 0}, 1},
    {"i386 bpf", 357, {0, 0, 0}, 1},
    {"i386 mount", 21, {0, 0, 0}, 1},
    {"i386 keyctl", 288, {0, 0, 0}, 1},
#endif
};

enum { NAMED = sizeof calls / sizeof *calls, ALL = LAST_CALL + 1 + NAMED };

static struct call nth(int n)
{
    return n > LAST_CALL ? calls[n - LAST_CALL - 1] : (struct call){.number = n};
}

/* The bare call, whose answer is the first filter's, or the tracer's 0. */
static long bare(const struct call *call)
{
    long answer;

#if defined(__x86_64__)
    if (call->old)
        __asm__ volatile("push %%rbx\n\tmov %2, %%rbx\n\tint $0x80\n\tpop %%rbx"
                         : "=a"(answer)
                         : "a"(call->number), "r"(call->argument[0]), "c"(0L), "d"(0L), "S"(0L), "D"(0L)
                         : "memory", "r8", "r9", "r10", "r11");
    else
        __asm__ volatile("xor %%r10d, %%r10d\n\txor %%r8d, %%r8d\n\txor %%r9d, %%r9d\n\tsyscall"
                         : "=a"(answer)
                         : "a"(call->number), "D"(call->argument[0]), "S"(call->argument[1]),
                           "d"(call->argument[2])
                         : "rcx", "r8", "r9", "r10", "r11", "memory");
    return call->old ? (int)answer : answer;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = call->number;
    register long x0 __asm__("x0") = call->argument[0];
    register long x1 __asm__("x1") = call->argument[1];
    register long x2 __asm__("x2") = call->argument[2];
    register long x3 __asm__("x3") = 0, x4 __asm__("x4") = 0, x5 __asm__("x5") = 0;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    answer = x0;
    return answer;
#endif
}

enum { MAY_RUN = 0, KILLS = -1, RAISES_SIGSYS = -2, UNKNOWN = -3 };

/* Shared by the child, which can say nothing any more, and its tracer. */
struct board {
    int next; /* the call at hand; ALL: there are no more */
    int verdicts[ALL];
};

static void ask(struct board *board)
{
    struct sock_filter everything[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE)};
    struct sock_fprog program = {.len = 1, .filter = everything};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(1);
    raise(SIGSTOP);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        _exit(1);
    for (; board->next < ALL; board->next++) {
        struct call call = nth(board->next);
        long answer = bare(&call);
        board->verdicts[board->next] = answer < 0 ? (int)-answer : MAY_RUN;
    }
    __builtin_trap(); /* to exit would be a system call */
}

/* Follow one child; 0 if it came to something worth another, -1 if the filter cannot be asked. */
static int follow(pid_t child, struct board *board)
{
    int status;

    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
        int sig = WSTOPSIG(status);
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8))
            skip(child);
        else if (sig == SIGSTOP)
            ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL);
        else {
            if (board->next < ALL) /* SIGSYS; or SIGSEGV, where the kernel has no i386 */
                board->verdicts[board->next++] = sig == SIGSYS ? RAISES_SIGSYS : UNKNOWN;
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return 0;
        }
        ptrace(PTRACE_CONT, child, NULL, NULL);
    }
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS || board->next >= ALL)
        return -1;
    board->verdicts[board->next++] = KILLS;
    return 0;
}

static struct board *asked(void)
{
    struct board *board =
        mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    while (board != MAP_FAILED && board->next < ALL) {
        pid_t child = fork();
        if (child == 0) {
            ask(board);
            _exit(1);
        }
        if (child < 0 || follow(child, board) < 0)
            return NULL;
    }
    return board == MAP_FAILED ? NULL : board;
}

static void verdict(int value)
{
    value == UNKNOWN ? (void)printf("null") : (void)printf("%d", value);
}

static void seccomp(void)
{
    const struct board *board = asked();

    key("seccomp");
    begin('{');
    number("mode", prctl(PR_GET_SECCOMP));
    word("machine", MACHINE);
    key("verdicts");
    if (!board)
        printf("null");
    else {
        begin('[');
        for (int n = 0; n <= LAST_CALL; n++) {
            comma();
            verdict(board->verdicts[n]);
        }
        end(']');
    }
    key("calls");
    if (!board)
        printf("null");
    else {
        begin('{');
        for (int n = 0; n < NAMED; n++) {
            key(calls[n].name);
            verdict(board->verdicts[LAST_CALL + 1 + n]);
        }
        end('}');
    }
    end('}');
}

static void process(void)
{
    char here[4096];
    struct utsname names;
    mode_t mask = umask(0);

    umask(mask);
    number("umask", mask);
    number("pid", getpid());
    number("ppid", getppid());
    number("pgid", getpgrp());
    number("sid", getsid(0));
    number("no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    number("dumpable", prctl(PR_GET_DUMPABLE));
    number("personality", personality(0xffffffff));
    number("oom_score_adj", number_in("/proc/self/oom_score_adj"));
    long keyring = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
    number("session_keyring", keyring < 0 ? -errno : keyring);
    uname(&names);
    word("hostname", names.nodename);
    word("domainname", names.domainname);
    word("cwd", getcwd(here, sizeof here));
    word("tty", ttyname(0));
}

int main(int argc, char **argv, char **envp)
{
    (void)argc;
    begin('{');
    fds(); /* before we open any */
    process();
    capabilities();
    ids();
    rlimits();
    signals();
    texts("environment", envp);
    texts("arguments", argv);
    lines("mounts", "/proc/self/mountinfo");
    namespaces();
    lines("status", "/proc/self/status");
    lines("cgroup", "/proc/self/cgroup");
    paths(argv + 1);
    devices();
    init();
    network();
    fflush(stdout); /* or the children would say it again */
    seccomp();
    end('}');
    putchar('\n');
    return fflush(stdout) ? 1 : 0;
}

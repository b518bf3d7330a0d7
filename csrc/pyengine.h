/* The whole border between Python and C.  cffi parses this file and the
 * compiler includes it, so the two sides cannot disagree.  Declarations only.
 *
 * Every function returns 0 or a positive answer when it worked, -errno when it
 * did not.  C reports numbers; Python finds the words. */

#define PE_ABI 1

/* What a child can be told to do, in steps.c.  `at` is the mount made last. */
enum pe_op {
    PE_UNSHARE = 1,   /* flags: CLONE_NEW* */
    PE_SETNS,         /* fd: a namespace, or a process's pidfd; flags: CLONE_NEW* */
    PE_CGROUP,        /* fd: a v1 `tasks` file to write oneself into */
    PE_SLAVE,         /* stop our mounts from reaching the host */
    PE_OVERLAY,       /* source: list of lower directories, top first; data: upper; kind: work; target */
    PE_MOUNT,         /* kind: file system; data: list of its options; flags: MOUNT_ATTR_*; target */
    PE_BIND,          /* source or fd; flags: PE_BIND_* and MOUNT_ATTR_*; kind: propagation; target */
    PE_BIND_AT,       /* source: a name in `at`; flags: MOUNT_ATTR_*; target */
    PE_BORROW,        /* fd: pidfd of a process; source: a path in its root, which is a tmpfs; target */
    PE_ROOT,          /* target: where on the host `at` is put, to be the new root */
    PE_MKDIR,         /* target: a name in `at`; flags: mode */
    PE_MKNOD,         /* target: a name in `at`; flags: mode << 32 | device */
    PE_SYMLINK,       /* source: what it says; target: a name in `at` */
    PE_WRITE,         /* target: a name in `at`; data, of `flags` bytes */
    PE_NULL,          /* target: a name in `at`, or source: a path of the host: the null device to mask with */
    PE_MASK,          /* target */
    PE_READONLY,      /* target */
    PE_TTY,           /* target: where to put its console, if anywhere; flags: rows << 16 | columns */
    PE_PIVOT,         /* leave the host's root */
    PE_READONLY_ROOT, /* */
    PE_SYSCTL,        /* target: its path below /proc/sys; data, of `flags` bytes */
    PE_PROC_WRITE,    /* target: its path below /proc/self; data, of `flags` bytes */
    PE_HOSTNAME,      /* source */
    PE_DOMAINNAME,    /* source */
    PE_LOOPBACK,      /* bring `lo` up */
    PE_RLIMIT,        /* fd: which; data: two uint64_t, soft and hard */
    PE_KEYRING,       /* a session keyring of one's own */
    PE_CHDIR,         /* target; flags: 1 makes it */
    PE_UMASK,         /* flags */
    PE_SETSID,        /* */
    PE_BOUND,         /* flags: capabilities that stay in the bounding set */
    PE_NO_NEW_PRIVS,  /* */
    PE_SECCOMP,       /* data: a filter of `fd` instructions; flags: SECCOMP_FILTER_FLAG_* */
    PE_GROUPS,        /* data: `flags` group ids, uint32_t */
    PE_OWN_STDIO,     /* flags: the user who shall own the pipes or terminal */
    PE_KEEPCAPS,      /* keep capabilities when the ids change */
    PE_IDS,           /* flags: user; fd: group */
    PE_CAPS,          /* flags: permitted and effective; nothing inheritable or ambient */
    PE_PDEATHSIG      /* flags: signal; fd: pidfd of the process whose death it tells */
};

#define PE_BIND_RECURSIVE 0x100000000
#define PE_BIND_READONLY_BELOW 0x200000000 /* the attributes go for the mounts below too */
#define PE_BIND_IF_POSSIBLE 0x400000000    /* ... if the kernel can (before 5.12 it cannot) */
#define PE_OVERLAY_VOLATILE 1
#define PE_OVERLAY_USERXATTR 2
#define PE_OVERLAY_READONLY 4

/* Texts are offsets into the plan; 0 is no text.  A list is texts one after
 * the other, with an empty one at its end. */
struct pe_step {
    uint32_t op;
    int32_t fd; /* an index into the birth's fds, where the op wants an fd */
    uint64_t flags;
    uint32_t source;
    uint32_t target;
    uint32_t kind;
    uint32_t data;
};

/* A plan is one piece of memory: this, then steps, texts, blobs. */
struct pe_plan {
    uint32_t abi;
    uint32_t size;
    uint32_t steps;
    uint32_t n_steps;
    uint32_t argv; /* n_argv texts one after the other */
    uint32_t n_argv;
    uint32_t envp;
    uint32_t n_envp;
};

#define PE_MAX_FDS 64

/* What a child is given at birth. */
struct pe_birth {
    uint64_t unshare; /* CLONE_NEW*: namespaces made for it */
    int program;      /* the landing, or the joiner */
    int init;         /* stay below the program as its init */
    int cgroup;       /* a v2 cgroup to be born into, or -1 */
    int stdio[3];
    int n_fds;
    int fds[PE_MAX_FDS];
};

struct pe_child {
    int pid;
    int pidfd;
    int report; /* an fd to hear from it; see pe_hear */
};

enum pe_word { PE_RUNNING, PE_FAILED, PE_BORN, PE_TERMINAL };

/* What a child says on its way. */
struct pe_said {
    int word;
    int step;  /* FAILED: index into the plan's steps, or -1: the program itself */
    int error; /* FAILED: errno */
    int pid;   /* BORN */
    int fd;    /* BORN: its pidfd; TERMINAL: the master; else -1 */
};

struct pe_end {
    int pid;
    int code;   /* CLD_EXITED, CLD_KILLED, CLD_DUMPED; 0: somebody else has reaped it */
    int status; /* exit code or signal */
    int64_t user_us;
    int64_t system_us;
    int64_t peak_kib;
};

int pe_abi(void);

/* spawn.c: the child borrows our memory until it execs; cost does not depend on our size. */
int pe_spawn(const char *plan, size_t size, const struct pe_birth *birth, struct pe_child *child);
int pe_hear(int report, struct pe_said *said);
int pe_wait(int pidfd, int options, struct pe_end *end);

/* join.c: ask the joiner, a program with memory of its own, for a child inside a container. */
int pe_start_joiner(int program, int report, struct pe_child *child);
int pe_join(int joiner, const char *plan, size_t size, const struct pe_birth *birth, int target, uint64_t joined,
            int *report);

/* namespace.c */
int pe_new_namespace(uint64_t flag, int loopback);

/* mount.c: mounts that are nowhere, and vanish with their fd. */
int pe_open_tree(int dirfd, const char *path, unsigned flags);
int pe_overlay(const char *lowers, const char *upper, const char *work, uint64_t flags);

/* files.c */
int pe_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int pe_remove_tree(int dirfd, const char *name);
int pe_seal(int fd);

/* The whole border between Python and C.  cffi parses this file and the
 * compiler includes it, so the two sides cannot disagree.  Declarations only.
 *
 * Every function returns 0 or a positive answer when it worked, -errno when it
 * did not.  C reports numbers; Python finds the words. */

#define PE_ABI 1

/* What a child can be told to do, in steps.c.  `at` is the mount made last. */
enum pe_op {
    PE_UNSHARE = 1, /* flags: CLONE_NEW* */
    PE_SETNS,       /* fd: a namespace, or a process's pidfd; flags: CLONE_NEW* */
    PE_CGROUP,      /* fd: a v1 `tasks` file to write oneself into */
    PE_SLAVE,       /* stop our mounts from reaching the host */
    PE_OVERLAY,     /* source: list of lower directories, top first; data: upper; kind: work; target */
    PE_MOUNT,       /* kind: file system; data: list of its options; flags: MOUNT_ATTR_*; target */
    PE_BIND,        /* source or fd; flags: PE_BIND_* and MOUNT_ATTR_*; kind: propagation; target */
    PE_BIND_AT,     /* source: a name in `at`; flags: MOUNT_ATTR_*; target */
    PE_BORROW,      /* fd: a process's pidfd; source: in its root, a tmpfs, or kind: "proc"; target */
    PE_ROOT,        /* target: where on the host `at` is put, to be the new root */
    PE_MKDIR,       /* target: a name in `at`; flags: mode */
    PE_MKNOD,       /* target: a name in `at`; flags: mode << 32 | device */
    PE_SYMLINK,     /* source: what it says; target: a name in `at` */
    PE_WRITE,       /* target: a name in `at`; data, of `flags` bytes */
    PE_NULL,        /* target: a name in `at`, or source: a path of the host: the null device to mask with */
    PE_MASK,        /* target */
    PE_READONLY,    /* target */
    PE_TTY,         /* target: where to put its console, if anywhere; flags: rows << 16 | columns */
    PE_PIVOT,       /* leave the host's root */
    PE_READONLY_ROOT, /* target: a mount below it instead */
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
    PE_OWN_STDIO,     /* flags: the user who shall own the pipes or terminal; fd: the first of them, or -1 */
    PE_KEEPCAPS,      /* keep capabilities when the ids change */
    PE_IDS,           /* flags: user; fd: group */
    PE_CAPS,          /* flags: permitted and effective; nothing inheritable or ambient */
    PE_PDEATHSIG,     /* flags: signal; fd: pidfd of the process whose death it tells; -1: ask the report */
    PE_NULL_STDIN,    /* standard input becomes the container's own null device; flags: 1: PE_NULL's */
    PE_CTTY,          /* standard input becomes the controlling terminal of a session that has none */
    PE_ENTER,         /* the rest is a child's, in the pid namespace of a PE_SETNS, without the birth's fds */
    PE_REMOVE,        /* fd: a directory; target: a name in it, which goes with all below */
    PE_DEVICE,        /* source: a device of the host; flags: MOUNT_ATTR_*; target: a new name in `at` */
    PE_SOCKET         /* flags: a family: hand over a TCP socket of the network it is in, not blocking */
};

#define PE_BIND_RECURSIVE 0x100000000
#define PE_BIND_READONLY_BELOW 0x200000000 /* the attributes go for the mounts below too */
#define PE_OVERLAY_VOLATILE 1
#define PE_OVERLAY_USERXATTR 2
#define PE_OVERLAY_READONLY 4
#define PE_OVERLAY_OVER_AT 8 /* the mount made last lies below the lower directories */

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

/* What can fail that is no step of the plan. */
enum pe_stage {
    PE_EXECUTE = -1, /* the program itself */
    PE_CLONE = -2,   /* a child inside the container */
    PE_ARRANGE = -3  /* its file descriptors */
};

enum pe_word { PE_RUNNING, PE_FAILED, PE_BORN, PE_TERMINAL, PE_USHER, PE_WAITS };

/* What a child says on its way. */
struct pe_said {
    int word;
    int step;  /* FAILED: index into the plan's steps, or an enum pe_stage */
    int error; /* FAILED: errno */
    int pid;   /* BORN; WAITS; USHER: who will give birth, and has to be reaped as well */
    int fd;    /* BORN, USHER: its pidfd; TERMINAL: the master, or PE_SOCKET's; else -1 */
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
struct pe_pending; /* a birth under way; the plan must stay where it is until it is ended */
int pe_begin_spawn(const char *plan, size_t size, const struct pe_birth *birth, struct pe_pending **pending);
int pe_end_spawn(struct pe_pending *pending, struct pe_child *child);
int pe_hear(int report, struct pe_said *said);
int pe_wait(int pidfd, int options, struct pe_end *end);

/* visit.c: a child in a running container from its birth to its end, as long as it says little. */
#define PE_HEARD_ROOM 65536
#define PE_MOST_WORDS 4

struct pe_visit {
    int report, outputs[2];              /* our ends; -1 once they were heard out */
    struct pe_said words[PE_MOST_WORDS]; /* of its birth */
    int n_words;
    int runs;      /* it has become its program, and the first word has told of it */
    char *data[2]; /* of its outputs, NULL for none; let go of by pe_forget */
    size_t size[2];
    struct pe_end end;
};

/* pe_join with pipes for its outputs; stdio[0] is its input. */
int pe_begin_visit(int joiner, const char *plan, size_t size, struct pe_birth *birth, int target,
                   uint64_t joined, struct pe_visit *visit);
/* 1: it has ended, was reaped, and this was all; 0: the deadline, of CLOCK_MONOTONIC, has passed, or there is
 * more to hear than that: of its birth, if it does not run, or of its outputs */
int pe_see_through(int64_t deadline, struct pe_visit *visit);
void pe_forget(struct pe_visit *visit);

/* join.c: ask the joiner, a program with memory of its own, for a child inside a container.  With
 * *own_users* it makes a user namespace, says WAITS or FAILED, and waits for a byte: its ids are mapped by
 * then.  1: groups may be changed there; 2: there is a root, whom it becomes. */
int pe_start_joiner(int program, int report, uint64_t bounds, int own_users, struct pe_child *child);
int pe_join(int joiner, const char *plan, size_t size, const struct pe_birth *birth, int target,
            uint64_t joined, int *report);

/* The same in two steps, for a child of no target: it waits for its plan, which is made meanwhile.  With
 * *users*, a user namespace that has its ids, it is born as root of that one; else -1.  With *more* another
 * is asked for at once, and the joiner need not begin before. */
int pe_conceive(int joiner, const struct pe_birth *birth, int users, int more, int *report);
int pe_instruct(int report, const char *plan, size_t size, const struct pe_birth *birth);
int pe_abandon(int report); /* there will be no plan */

/* namespace.c */
int pe_new_namespace(uint64_t flag, int loopback);
int pe_socket_beside(int process, int family); /* TCP, not blocking, in the network namespace of a pidfd */

/* detached.c: mounts that are nowhere, and vanish with their fd. */
int pe_empty_mount(void);
int pe_open_tree(int dirfd, const char *path, unsigned flags);
int pe_map_ids(int mount, int users, int recursive); /* ids of its files, as those of *users* are mapped */
int pe_overlay(const char *lowers, int below, const char *upper, const char *work, uint64_t flags);

/* The same, made while the caller does something else; all it was given has to stay until it is ended. */
struct pe_overlaying;
int pe_begin_overlay(const char *lowers, int below, const char *upper, const char *work, uint64_t flags,
                     struct pe_overlaying **overlaying);
int pe_end_overlay(struct pe_overlaying *overlaying);

/* files.c */
int pe_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int pe_remove_tree(int dirfd, const char *name);
int pe_seal(int fd);
int pe_sync_file_system(int fd); /* all of the file system that `fd` is on */

/* untar.c: a layer out of its archive, which comes piece by piece, below a directory.
 *
 * What is wrong with an archive is said like an errno, with larger numbers. */
enum pe_tar_fault {
    PE_TAR_HEADER = 5000, /* no tar header: its checksum or a number in it is wrong */
    PE_TAR_TRUNCATED,     /* it ends within an entry */
    PE_TAR_TRAILER,       /* there is too much behind its end */
    PE_TAR_PAX,           /* an extended header that cannot be read */
    PE_TAR_PAX_SIZE,      /* one that is larger than PE_TAR_MOST_PAX, or has too many records */
    PE_TAR_CHARSET,       /* its texts are in another character set than UTF-8 */
    PE_TAR_TYPE,          /* an entry of a type that no layer can hold */
    PE_TAR_NAME,          /* its name is too long, or has a NUL */
    PE_TAR_OUTSIDE,       /* its name leads out of the layer */
    PE_TAR_ROOT,          /* something else than a directory shall be the layer's root */
    PE_TAR_WHITEOUT,      /* a whiteout of nothing, of ".." or with files below; or a device that is one */
    PE_TAR_NOT_DIRECTORY, /* it lies below something that is no directory */
    PE_TAR_LOOP,          /* it lies below links that lead nowhere */
    PE_TAR_LINK,          /* what it links to is not in this layer, or is a directory; or has no name */
    PE_TAR_OWNER,         /* its owner is not among the ids there are */
    PE_TAR_ATTRIBUTE,     /* an extended attribute that the file system does not take */
    PE_TAR_SPARSE,        /* a map of a sparse file that cannot be true */
    PE_TAR_MOST_BYTES,    /* its files are larger than was allowed */
    PE_TAR_MOST_ENTRIES,  /* there are more of them than was allowed */
    PE_TAR_CHANGED,       /* (packing) a file was changed meanwhile */
    PE_TAR_OVERLAY        /* (packing) an overlay's mark that no archive can hold */
};

#define PE_TAR_MOST_PAX 1048576
#define PE_UNTAR_USER_XATTRS 1 /* an overlay mounted with `userxattr` will look at its marks */
#define PE_UNTAR_ONE_OWNER 2   /* whoever unpacks cannot give files away: all are theirs */

struct pe_untarred {
    uint64_t entries;
    uint64_t bytes; /* of its files, holes included */
    uint64_t whiteouts;
    uint64_t lost_attributes; /* the file system, or the host, has no such ones; or they are an overlay's */
    uint64_t lost_devices;    /* whoever unpacked may not make any */
    int hides_all;            /* the root itself is opaque */
};

struct pe_untar;
int pe_untar_new(int directory, unsigned flags, uint64_t most_bytes, uint64_t most_entries,
                 struct pe_untar **untar);
int pe_untar_feed(struct pe_untar *untar, const char *data, size_t size);
int pe_untar_finish(struct pe_untar *untar, struct pe_untarred *result);
const char *pe_untar_name(const struct pe_untar *untar); /* the entry it was at, as the archive says it */
void pe_untar_free(struct pe_untar *untar);

/* tar.c: and the other way round: what lies below a directory, sorted, as an archive that depends on nothing
 * else. */
#define PE_PACK_OVERLAY 1      /* an overlay's whiteouts and opaque directories become files named so */
#define PE_PACK_USER_XATTRS 2  /* of an overlay mounted with `userxattr` */
#define PE_PACK_ONE_TIME 4     /* all gets one time */
#define PE_PACK_NAME_ROOM 4608 /* for the name of the file it was at */

struct pe_packed {
    uint64_t entries;
    uint64_t bytes;        /* of the archive */
    uint64_t lost_sockets; /* no archive has any */
};

/* What has gone wrong is an errno, or an enum pe_tar_fault. */
int pe_pack(int directory, int out, unsigned flags, int64_t time, uint64_t most_bytes, char *name,
            struct pe_packed *result);

/* log.c: output becomes lines of JSON.  Pure; the memory is the caller's. */
#define PE_LOG_LONGEST 16384 /* bytes of output in one entry; docker's */
#define PE_LOG_ROOM 98320    /* an entry is never longer, its tail aside */

/* What becomes of a line that has not ended. */
enum pe_log_rest {
    PE_LOG_KEEP,  /* it waits for more */
    PE_LOG_FLUSH, /* it becomes an entry, but for a character that is not complete */
    PE_LOG_END    /* nothing will follow: all of it becomes an entry */
};

/* Entries for what `data` holds, each ended by `tail`, into `out`: how many bytes that is. */
int64_t pe_log_encode(const char *data, size_t size, int rest, const char *tail, size_t tail_size, char *out,
                      size_t room, size_t *used);

/* log_read.c: and the other way round. */
struct pe_log_entry {
    int64_t time;  /* nanoseconds since 1970 */
    uint32_t line; /* where its line begins in the text, and how long it is */
    uint32_t size;
    uint32_t data; /* where its bytes are in the output */
    uint32_t length;
    uint32_t attributes; /* where its object of attributes is in the text, if it has one */
    uint32_t attributes_size;
    int32_t stream; /* 1 or 2; 0: not laid out as ours are */
};

/* Entries of the whole lines in `text`: how many.  `out` has room for as many bytes as `text` has. */
int64_t pe_log_decode(const char *text, size_t size, char *out, struct pe_log_entry *entries, size_t most,
                      size_t *used);

/* watch.c */
int pe_watcher(void);
int pe_watch(int watcher, const char *path, unsigned events);
int pe_unwatch(int watcher, int watch);

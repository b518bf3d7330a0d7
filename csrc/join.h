/* What the engine and its joiner say to each other, and the engine to the joiner's children. */
#pragma once
#include "internal.h"

/* How a child counts its fds. */
enum {
    JOIN_REPORT,
    JOIN_STDIO,
    JOIN_TARGET = 4,
    JOIN_CGROUP,
    JOIN_FDS, /* the birth's own, and after them the landing where there shall be an init */
    MOST_JOIN_FDS = JOIN_FDS + PE_MAX_FDS + 1,
};

/* To the joiner, with three fds: report, target and cgroup. */
struct join_request {
    uint64_t unshare; /* CLONE_NEW*: namespaces made for it */
    uint64_t joined;  /* CLONE_NEW*: which namespaces of the target */
    int32_t into_cgroup;
    int32_t ushered;  /* it is an usher, who has the child */
    int32_t in_users; /* so it is; the target is a user namespace, in which the child is born */
    int32_t unused;
};

/* To the child, by its report: this, and the plan, if that is not too large for a message.  With it come the
 * file that holds a larger one, the three streams, the birth's own fds, and the landing. */
struct join_plan {
    uint32_t size;
    int32_t n_fds; /* of the birth's own, and the landing */
    int32_t init;
};

enum { LARGEST_MESSAGE = 1 << 15, LARGEST_PLAN = 16 << 20 };
